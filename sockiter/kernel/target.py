"""The iterators of the running kernel as targets: probing, known failures, and sessions.

The modules `udp`, `tcp` and `unix` define the targets, their sockets and their walks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from sockiter import rights
from sockiter.backend import SLOTS, Backend, Shape, patiently, refusal, shape_of
from sockiter.claims import Hazard, KnownFailure, hazards_of, within
from sockiter.errors import Inconclusive, Unavailable
from sockiter.frames.bpf_seq import RECORDS_MAX
from sockiter.kernel.bpf.modes import Modes
from sockiter.kernel.bpf.stops import Stops
from sockiter.kernel.dumps import DiagWalk
from sockiter.kernel.elements import Elements
from sockiter.kernel.identify import identify, is_in_place, leaves, sockets_ahead
from sockiter.kernel.iteration import Iteration
from sockiter.kernel.namespace import Namespace
from sockiter.kernel.probe import Capabilities, need_linux, probe
from sockiter.kernel.walks import Walk
from sockiter.operations import Bucket, Operation
from sockiter.readers import Feature
from sockiter.schemes import SCHEMES
from sockiter.schemes.scheme import SUCCESSIONS

NO_BATCH: Mapping[Hazard, str] = dict.fromkeys(("realloc", "enomem"), "it takes sockets one by one, without a batch")
"""The reason why walks without a batch do not support the hazards of its growth."""
NO_STOP: Mapping[Hazard, str] = {"between": "there is no known way to stop a walk between two buckets"}
"""The reason why no kernel iterator supports changes between two buckets."""

PROGRAM_READS: frozenset[Feature] = frozenset({"bytes", "silent", "again", "unwanted"})
"""The features of a walk with a program."""
_NO_PROGRAM = "no program runs for its sockets"
FILE_READS: frozenset[Feature] = frozenset({"bytes", "again"})
NO_PROGRAM_IN_FILE: Mapping[Feature, str] = {"silent": _NO_PROGRAM, "unwanted": _NO_PROGRAM}
"""The features of a file of /proc, and the reasons against the others."""
UNPADDED_READS: frozenset[Feature] = frozenset({"again"})
NO_BYTES_OF_UNPADDED: Mapping[Feature, str] = {**NO_PROGRAM_IN_FILE, "bytes": "the width of a line depends on its inode"}
"""The same of a file whose lines are not padded."""
DUMP_READS: frozenset[Feature] = frozenset({"again"})
NO_PROGRAM_IN_DUMP: Mapping[Feature, str] = {**NO_PROGRAM_IN_FILE, "bytes": "the kernel chooses the size of a message"}
"""The features of a dump, and the reasons against the others."""
NO_DESTROYING: Mapping[Hazard, str] = {"destroying": _NO_PROGRAM}
"""The reason why walks without a program do not destroy the sockets that they show."""

_KNOWN_FAILURES = {scheme.name: scheme.known_failures for scheme in SCHEMES}


@dataclass(frozen=True, slots=True)
class SessionSetup:
    """The set-up of a session, shared by many iterations.

    `make_elements` raises `Inconclusive` for a shape that this kernel has no room for. `unable`: the hazards that this
    kernel does not support, with the reasons; `lacks`: the same of features. `modes`: switches the modes of the iterating
    program, None for a walk without a program.
    """

    namespace: Namespace
    walk: Walk
    make_elements: Callable[[Shape], Elements]
    stops: Stops | None = None
    destroys: bool = False
    has_tail: bool = True
    unable: Mapping[Hazard, str] = field(default_factory=dict)
    modes: Modes | None = None
    lacks: Mapping[Feature, str] = field(default_factory=dict)


def with_destruction(setup: SessionSetup, walk: DiagWalk) -> SessionSetup:
    """The set-up of a dump whose reader destroys the sockets of its records, if this kernel can do that."""
    why = walk.cannot_destroy()
    return replace(setup, unable={**setup.unable, "destroying": why}) if why else setup


@dataclass(frozen=True, slots=True)
class KernelTarget:
    """An iterator of the running kernel.

    `bucket_holds`: the most elements in a bucket, None for any number.
    `offers`: the hazards that it supports on some machine; `never`: the reasons against the other hazards. `schemes`: the
    schemes that different kernels are known to use. `detected_scheme`: the scheme of this kernel; the iterator has the known
    failures of that scheme. `read_max`: the most sockets that one read can return, except for a dump. `reads`: the features
    that it supports on some machine; `never_reads`: the reasons against others.
    """

    name: str
    summary: str
    set_up: Callable[[], AbstractContextManager[SessionSetup]]
    offers: frozenset[Hazard]
    schemes: tuple[str, ...] = ()
    tables: tuple[str, ...] = ("",)
    buckets_max: int | None = None
    bucket_holds: int | None = None
    slots: int | None = SLOTS
    never: Mapping[Hazard, str] = field(default_factory=lambda: NO_STOP)
    read_max: int = RECORDS_MAX
    reads: frozenset[Feature] = PROGRAM_READS
    never_reads: Mapping[Feature, str] = field(default_factory=dict)
    progress: str = ""
    is_real: bool = True

    def missing(self) -> str | None:
        """The missing prerequisite on this machine, probed with short iterations once per process."""
        return self._capabilities.missing

    @property
    def hazards(self) -> frozenset[Hazard]:
        """The supported hazards on this machine; if the target does not run here, those on some other machine."""
        return self.offers.difference(self._capabilities.unable)

    @property
    def unable(self) -> Mapping[Hazard, str]:
        return {**self.never, **self._capabilities.unable}

    @property
    def features(self) -> frozenset[Feature]:
        """The supported features on this machine; if the target does not run here, those on some other machine."""
        return self.reads.difference(self._capabilities.lacks)

    @property
    def lacks(self) -> Mapping[Feature, str]:
        return {**self.never_reads, **self._capabilities.lacks}

    @property
    def has_tail(self) -> bool:
        return self._capabilities.has_tail

    @property
    def detected_scheme(self) -> str | None:
        """The name of the scheme with the same deliveries as this iterator; None if no scheme matches, or it does not run
        here."""
        return self._capabilities.scheme

    @property
    def in_place(self) -> frozenset[Hazard]:
        """Of close and accept those whose successor takes its predecessor's place on this kernel, and not the head."""
        return self._capabilities.in_place

    @property
    def known_failures(self) -> tuple[KnownFailure, ...]:
        """The known failures of its scheme under the supported hazards."""
        return tuple(
            failure for failure in self.all_known_failures if failure in within(self.all_known_failures, self.hazards)
        )

    @property
    def all_known_failures(self) -> tuple[KnownFailure, ...]:
        """The known failures of its scheme, also under hazards that cannot be caused here on purpose.

        Empty for a kernel with an unknown scheme: every finding there is new.
        """
        return _KNOWN_FAILURES.get(self.detected_scheme or "", ())

    @property
    def records_max(self) -> int:
        """The most sockets that one read can return: the records of a dump's message on this kernel, or `read_max`."""
        return self.message_records or self.read_max

    @property
    def message_records(self) -> int:
        """The sockets in a message of a dump on this kernel; 0 for other walks, and where it does not run."""
        return self._capabilities.ahead

    def message_of(self, slots: int) -> int:
        """The records of a message for a case with so many slots: at least `message_records`, and more where the size of a
        message is chosen; 0 for other walks."""
        return max(self.message_records, min(slots, self._capabilities.largest))

    @contextmanager
    def session(self) -> Iterator[KernelSession]:
        """Loaded programs, and a private namespace for the calling thread until the end, with the necessary capabilities."""
        need_linux()
        with rights.raised(), self.set_up() as setup:
            session = KernelSession(self, setup)
            try:
                yield session
            finally:
                session.close()

    @property
    def _capabilities(self) -> Capabilities:
        return probe(self.name, self._probe)

    def _probe(self) -> Capabilities:
        with self.session() as session:
            setup, walk = session.setup, session.setup.walk
            session.begin_unchecked(Shape())
            if isinstance(walk, DiagWalk) and walk.record_bytes:
                ahead = walk.message_bytes // walk.record_bytes
            else:
                ahead = sockets_ahead(session.begin_unchecked, self.tables) if walk.is_dump else 0
            scheme = identify(session.begin_unchecked, self.schemes, self.tables, ahead, self._is_able, self.bucket_holds)
            unable, in_place = self._try_life(session)
            unable = {**unable, **setup.unable}
            largest = walk.largest if isinstance(walk, DiagWalk) else 0
            return Capabilities(None, unable, setup.has_tail, scheme, setup.lacks, ahead, largest, in_place)

    def _is_able(self, operations: Sequence[Operation]) -> bool:
        # Whether this target can carry out the operations, whatever is found out about this machine.
        return hazards_of(operations) <= self.offers and (
            self.buckets_max is None or all(number <= self.buckets_max for _, number in shape_of(operations).buckets)
        )

    def _try_life(self, session: KernelSession) -> tuple[dict[Hazard, str], frozenset[Hazard]]:
        # The hazards of a socket's life that fail here, with the reasons; and those whose successor enters in place.
        begin = session.begin_unchecked
        unable: dict[Hazard, str] = {}
        in_place: set[Hazard] = set()
        for hazard in SUCCESSIONS & self.offers - session.setup.unable.keys():
            try:
                if patiently(partial(is_in_place, begin, hazard, self.tables[-1])):
                    in_place.add(hazard)
            except (Unavailable, Inconclusive) as lack:
                unable[hazard] = str(lack)
        if "destroy" in self.offers - session.setup.unable.keys():
            try:
                leaves(begin, self.tables[-1])
            except (Unavailable, Inconclusive) as lack:
                unable["destroy"] = str(lack)
        return unable, frozenset(in_place)


class KernelSession:
    """Begins iterations, one after the other, in one private namespace."""

    __slots__ = ("_current", "_target", "setup")

    def __init__(self, target: KernelTarget, setup: SessionSetup) -> None:
        self._target = target
        self.setup = setup
        self._current: Iteration | None = None

    def begin(self, shape: Shape) -> Backend:
        """A backend with an empty table; raises `Unavailable` for a shape that this kernel's table does not have."""
        if why := refusal(self._target, (), shape):
            raise Unavailable(why.text)
        return self.begin_unchecked(shape, self._target.in_place)

    def begin_unchecked(self, shape: Shape, in_place: frozenset[Hazard] = frozenset()) -> Backend:
        """The same without a check of the target's hazards, for the probe."""
        self.close()
        setup = self.setup
        setup.namespace.enter()
        self._current = Iteration(
            self._target.name,
            setup.walk.sized(shape.slots) if isinstance(setup.walk, DiagWalk) else setup.walk,
            setup.make_elements(shape),
            [Bucket(n, table) for table, count in shape.phases(self._target.tables) for n in range(count)],
            setup.stops,
            destroys=setup.destroys,
            in_place=in_place,
            modes=setup.modes,
        )
        return self._current

    def records_max(self) -> int:
        """The most sockets that one read can return at present."""
        return self._target.message_records or self.setup.walk.records_max

    def close(self) -> None:
        """End the current iteration."""
        if self._current is not None:
            self._current.close()
            self._current = None
