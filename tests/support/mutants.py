"""Schemes with one planted bug each, and their loader.

The fuzzer and the corpus must catch each bug. Each bug is a plausible mistake, and makes its scheme break a claim: a bug
that only causes known failures would test nothing. If the bug is in `table`, the scheme is one that relies on this property
of the table.
"""

from __future__ import annotations

import builtins
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from sockiter.claims import Hazard
from sockiter.fuzzing.drivers import Driver
from sockiter.fuzzing.triage import Triage, TriagedFinding
from sockiter.shrink.minimize import Patience
from sockiter.simulation import SchemeTarget

# The modules that are loaded anew for a mutant; it shares all others, such as operations and histories.
ANEW = ("sockiter.table", "sockiter.schemes", "sockiter.simulation")
# The same, where the relation of a mutant is compared with its code.
ANEW_FOR_PROOFS = (*ANEW, "sockiter.frames", "sockiter.check", "sockiter.prove")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A scheme with a bug: `wrong` describes it, and a text that occurs once in a `module` is replaced by another.

    `case` names one in tests/cases that comes out otherwise on it. `together` are hazards that have to meet before anything
    shows, which they seldom do where all hazards are on. `before_open`: it takes a removal before open.
    """

    scheme: str
    wrong: str
    module: str
    old: str
    new: str
    case: str
    together: tuple[Hazard, ...] = ()
    before_open: bool = False

    def __str__(self) -> str:
        return f"{self.scheme}: {self.wrong}"


@dataclass(frozen=True, slots=True)
class Caught:
    """The broken claim, the number of sequences, and the seconds of processor time up to the least case."""

    found: TriagedFinding
    sequences: int
    seconds: float


def original(scheme: str) -> SchemeTarget:
    """A scheme without a bug, loaded like one that has one."""
    return _loaded(scheme, None)


@cache
def mutated(mutant: Mutant) -> SchemeTarget:
    """The scheme with the bug; an AssertionError where the text to be replaced is not there, or more than once."""
    return _loaded(mutant.scheme, mutant)


def caught(
    target: SchemeTarget,
    driver: Driver,
    seed: str,
    sequences_max: int,
    *,
    hazards: Iterable[Hazard] | None = None,
    shrinks: bool = False,
) -> Caught | None:
    """The first broken claim that a driver finds in so many sequences, or the few more of a last bite; None: it finds none.

    With these hazards, or all that the target supports. `shrinks`: to its least case, which takes most of the
    time.
    """
    # Nothing is pending: only a broken claim is new.
    triage = Triage(target, target, patience=Patience(is_over=lambda: not shrinks))
    sequences = 0
    started = time.process_time()
    for bite in driver(triage, target.hazards if hazards is None else frozenset(hazards), seed):
        sequences += bite.sequences
        if bite.found is not None:
            assert bite.found.known_failure is None
            return Caught(bite.found, sequences, time.process_time() - started)
        if sequences >= sequences_max:
            break
    return None


def tie_of(mutant: Mutant, scope: tuple[int, int, int]) -> Any:
    """The comparison of a scheme with the bug and the relation of the scheme without it, in this scope."""
    load = _world(mutant, ANEW_FOR_PROOFS)
    (scheme,) = (scheme for scheme in load("sockiter.schemes").SCHEMES if scheme.name == mutant.scheme)
    relation = load("sockiter.prove.relations").RELATIONS[mutant.scheme]
    return load("sockiter.prove.tie").tied(scheme, relation, scope=scope)


def _loaded(name: str, mutant: Mutant | None) -> SchemeTarget:
    load = _world(mutant, ANEW)
    (scheme,) = (scheme for scheme in load("sockiter.schemes").SCHEMES if scheme.name == name)
    target: SchemeTarget = load("sockiter.simulation").SchemeTarget(scheme)
    return target


def _world(mutant: Mutant | None, anew: tuple[str, ...]) -> Callable[..., ModuleType]:
    # The modules of a world of their own import each other by an `__import__` of their own: neither the disk nor sys.modules
    # is touched, and whatever builds on a module that was changed gets the changed one.
    world: dict[str, ModuleType] = {}

    def load(module: str, *how: Any) -> ModuleType:
        if not module.startswith(anew):
            return __import__(module, *how)
        if module not in world:
            spec = find_spec(module)
            assert spec is not None
            assert spec.origin is not None
            text = Path(spec.origin).read_text(encoding="utf-8")
            if mutant is not None and module == f"sockiter.{mutant.module}":
                assert text.count(mutant.old) == 1, f"{mutant}: {text.count(mutant.old)} times in {module}: {mutant.old}"
                text = text.replace(mutant.old, mutant.new)
            world[module] = ModuleType(f"mutants.{module}")
            vars(world[module])["__builtins__"] = {**vars(builtins), "__import__": load}
            # A dataclass looks for its module there.
            sys.modules[f"mutants.{module}"] = world[module]
            try:
                exec(compile(text, f"<{module} of {mutant}>", "exec"), vars(world[module]))
            finally:
                del sys.modules[f"mutants.{module}"]
        return world[module]

    return load


MUTANTS: tuple[Mutant, ...] = (
    # The batch of `offset-udp`, and its count.
    Mutant(
        "offset-udp",
        "one socket too few is stepped over",
        "schemes.offset_udp",
        "return sockets[place:], min(place, len(sockets))",
        "return sockets[max(place - 1, 0):], min(place, len(sockets))",
        "add_some",
    ),
    Mutant(
        "offset-udp",
        "the offset of a bucket is used in the next one too",
        "schemes.partial_batch",
        "        return self.start\n",
        "        return place\n",
        "two_ports",
    ),
    Mutant(
        "offset-udp",
        "the flag is not cleared at a stop, so that the bucket is taken for done",
        "schemes.partial_batch",
        "if not granted:\n                return Done(State(bucket, place, slots))",
        "if not granted:\n                return Done(State(bucket + is_whole, self.start if is_whole else place, slots))",
        "remove_seen",
    ),
    Mutant(
        "offset-udp",
        "the batch that could not grow is taken for the whole bucket",
        "schemes.partial_batch",
        "return Showing(bucket, found, slots, batch, False)",
        "return Showing(bucket, found, slots, batch, True)",
        "full-batch-refused-enomem",
    ),
    Mutant(
        "offset-udp",
        "the batch that grew is taken for the whole bucket, whether or not that fitted",
        "schemes.partial_batch",
        "batch, len(batch) == len(unseen))",
        "batch, grown or len(batch) == len(unseen))",
        "mutant-still-too-small",
        together=("add-head", "realloc"),
    ),
    Mutant(
        "offset-udp",
        "after growing, the bucket is captured from its head, so that what was delivered comes again",
        "schemes.partial_batch",
        "return self._look(bucket, place, want * 3 // 2, True, table)",
        "return self._look(bucket, self.start, want * 3 // 2, True, table)",
        "force_realloc",
    ),
    Mutant(
        "offset-udp",
        "after growing, the walk goes on in the next bucket",
        "schemes.partial_batch",
        "return self._look(bucket, place, want * 3 // 2, True, table)",
        "return self._onwards(bucket + 1, self.start, want * 3 // 2, table)",
        "force_realloc",
    ),
    # TCP's two tables.
    Mutant(
        "offset-tcp",
        "one step too few is made to the place",
        "schemes.offset_tcp",
        "phase, bucket, offset, slots = state\n        return _onwards(Seeking(phase, bucket, offset,",
        "phase, bucket, offset, slots = state\n        return _onwards(Seeking(phase, bucket, max(offset - 1, 0),",
        "add_some",
    ),
    Mutant(
        "offset-tcp",
        "a bucket whose unseen sockets have left is walked again from its head",
        "schemes.offset_tcp",
        "return _onwards(seeking._replace(bucket=bucket + 1, left=left - len(sockets)), table)",
        "return _look(seeking._replace(left=0), table)",
        "remove_all",
    ),
    Mutant(
        "offset-tcp",
        "the table is not remembered at a stop, so that the listening one is gone on with",
        "schemes.offset_tcp",
        "if not granted:\n                return Done(State(phase, bucket",
        "if not granted:\n                return Done(State(0, bucket",
        "mutant-table-forgotten",
    ),
    # A rank.
    Mutant(
        "rank",
        "the socket that a read stops before is counted as shown",
        "schemes.rank",
        "return Place(place.rank, None, place.rank)",
        "return Place(place.rank + 1, None, place.rank + 1)",
        "add_some",
    ),
    Mutant(
        "rank",
        "the rank is forgotten at the end, so that there is none",
        "schemes.rank",
        "if filled < len(table.buckets) else None",
        "if filled < len(table.buckets) else Further(Place(0, 0, 0)) if rank else None",
        "add_some",
    ),
    # The flag that stays up.
    Mutant(
        "unix",
        "the offset, which is from 1, is taken to be from 2",
        "schemes.unix",
        "[offset - 1 :]",
        "[max(offset - 2, 0) :]",
        "full-batch-refused-enomem",
    ),
    Mutant(
        "unix",
        "after growing, the bucket is captured from its head, so that what was delivered comes again",
        "schemes.unix",
        "return _look(bucket, offset, done, want * 3 // 2, True, table)",
        "return _look(bucket, 1, done, want * 3 // 2, True, table)",
        "unix-repeat-rehash-enomem",
    ),
    Mutant(
        "unix",
        "behind the end the walk begins again",
        "schemes.unix",
        "Done(State(len(table.buckets), 1, done, slots))",
        "Done(State(0, 1, False, slots))",
        "add_some",
    ),
    # Indexes.
    Mutant(
        "index",
        "a socket is unseen from the remembered index on, not above it",
        "schemes.index",
        "socket.idx > place",
        "socket.idx >= place",
        "add_some",
    ),
    Mutant(
        "index",
        "the index of the last bucket is remembered in the next one",
        "schemes.partial_batch",
        "        return self.start\n",
        "        return place\n",
        "removal-count-repeat-rehash",
    ),
    Mutant(
        "index",
        "the socket that a read stops before is remembered as the last shown",
        "schemes.partial_batch",
        "if not granted:\n                return Done(State(bucket, place, slots))",
        "if not granted:\n                return Done(State(bucket, self.behind(place, batch[0], table), slots))",
        "add_some",
    ),
    Mutant(
        "index",
        "the version is not raised by an insertion at the tail",
        "table",
        "            table = Table(buckets, ver + 1,",
        '            table = Table(buckets, ver + (change.end == "head"),',
        "remove_seen",
    ),
    Mutant(
        "index",
        "an insertion at the head gets a positive index",
        "table",
        "Socket(name, -ver)",
        "Socket(name, ver)",
        "rfc_repeat",
    ),
    Mutant(
        "index-snapshot",
        "whether a socket is too new is asked of its index with the sign",
        "schemes.index_snapshot",
        "abs(socket.idx) <= opened",
        "socket.idx <= opened",
        "index-snapshot-skip-moved-rehash",
    ),
    Mutant(
        "index-snapshot",
        "the socket that was inserted last before open is taken for too new",
        "schemes.index_snapshot",
        "abs(socket.idx) <= opened",
        "abs(socket.idx) < opened",
        "add_some",
    ),
    Mutant(
        "index-narrow",
        "indexes have a bit less than versions",
        "schemes.index_narrow",
        "half = 1 << VERSION_BITS - 1",
        "half = 1 << VERSION_BITS - 2",
        "index-narrow-skip-rollover",
    ),
    Mutant(
        "index-detect",
        "the epoch is never remembered, so that all is walked again after a rollover",
        "schemes.index_detect",
        "Place(prev_idx, now)",
        "Place(prev_idx, place.epoch)",
        "two_ports",
    ),
    Mutant(
        "index-detect",
        "an epoch is taken to be half as long as it is",
        "schemes.index_detect",
        "VERSION_BITS - 1",
        "VERSION_BITS - 2",
        "index-repeat-reinsert-show",
    ),
    # Removals, counted.
    Mutant(
        "removal-count",
        "the count of removals is not remembered with the offset, which is walked back by all of them each time",
        "schemes.removal_count",
        "Place(min(offset, len(sockets)), removals)",
        "Place(min(offset, len(sockets)), place.removals)",
        "rfc_skip",
        before_open=True,
    ),
    Mutant(
        "removal-count",
        "the offset is walked forward by the removals",
        "schemes.removal_count",
        "place.offset - (removals",
        "place.offset + (removals",
        "rfc_skip",
    ),
    Mutant(
        "removal-count",
        "the offset is walked back below zero",
        "schemes.removal_count",
        "max(place.offset - (removals - place.removals), 0)",
        "place.offset - (removals - place.removals)",
        "index-detect-repeat-reinsert-rollover",
    ),
    Mutant(
        "removal-count",
        "a move to another bucket is not counted as a removal",
        "table",
        "removals[number] + 1",
        "removals[number] + (type(change) is not Rehash)",
        "removal-count-repeat-rehash",
    ),
    Mutant(
        "restart",
        "after ESTALE the iterator stays where it is",
        "schemes.partial_batch",
        'return Done(State(0, self.start, slots), "ESTALE")',
        'return Done(State(bucket, place, slots), "ESTALE")',
        "rfc_skip",
    ),
    Mutant(
        "restart",
        "a removal behind the first socket of a bucket goes unnoticed",
        "schemes.restart",
        "if place.offset and",
        "if place.offset > 1 and",
        "rfc_skip",
    ),
    Mutant(
        "restart",
        "a reinsertion is not counted as a removal",
        "table",
        "removals[number] + 1",
        "removals[number] + (type(change) is not Reinsert)",
        "cookie-udp-skip-reinsert",
    ),
    # Whole buckets.
    Mutant(
        "full-batch",
        "the flag is not cleared at a stop, so that the bucket is taken for done",
        "schemes.full_batch",
        "return State(showing.bucket, showing.offset, showing.slots)",
        "return State(showing.bucket + 1, 0, showing.slots)",
        "remove_seen",
    ),
    Mutant(
        "full-batch",
        "the offset is lost at ENOMEM",
        "schemes.full_batch",
        'return Done(self.before(bucket, offset, slots), "ENOMEM")',
        'return Done(self.before(bucket, 0, slots), "ENOMEM")',
        "cookie-tcp-repeat-add-tail-enomem",
        together=("add-tail", "enomem"),
    ),
    Mutant(
        "full-batch",
        "a refused allocation is swallowed, and the rest of the bucket lost with it",
        "schemes.full_batch",
        'return Done(self.before(bucket, offset, slots), "ENOMEM")',
        "return Showing(bucket, offset, slots, table.buckets[bucket][offset : offset + slots])",
        "full-batch-refused-enomem",
    ),
    Mutant(
        "full-batch-held",
        "the batch is not emptied at ENOMEM",
        "schemes.full_batch",
        "return Held(bucket, (), slots)",
        'return Held(bucket, () if bucket == 0 else (Socket("gone", 0),), slots)',
        "mutant-batch-kept",
    ),
    Mutant(
        "full-batch-held",
        "the socket that a read stops before is let go",
        "schemes.full_batch",
        "return Held(showing.bucket + 1, showing.batch, showing.slots)",
        "return Held(showing.bucket + 1, showing.batch[1:], showing.slots)",
        "add_some",
    ),
    Mutant(
        "full-batch-held",
        "an empty bucket is taken for the end",
        "schemes.full_batch",
        "filled = table.first_filled(bucket)",
        "filled = table.first_filled(bucket) if table.buckets[bucket:bucket + 1] != ((),) else len(table.buckets)",
        "rank-repeat-add-tail",
    ),
    # Cookies.
    Mutant(
        "cookie-udp",
        "the cookies are remembered in reverse order",
        "schemes.cookie_udp",
        "return Done(State(bucket, names(batch), slots))",
        "return Done(State(bucket, names(batch)[::-1], slots))",
        "force_realloc",
    ),
    Mutant(
        "cookie-udp",
        "the first cookie is dropped at a stop",
        "schemes.cookie_udp",
        "return Done(State(bucket, names(batch), slots))",
        "return Done(State(bucket, names(batch[1:]), slots))",
        "add_some",
    ),
    Mutant(
        "cookie-udp",
        "only the first of the cookies is looked for",
        "schemes.cookie_udp",
        "for cookie in cookies:",
        "for cookie in cookies[:1]:",
        "remove_unseen",
    ),
    Mutant(
        "cookie-udp",
        "the cookies are looked for in later buckets too",
        "schemes.cookie_udp",
        "cookies if filled == bucket else None",
        "cookies",
        "two_ports",
        together=("remove", "rehash"),
    ),
    Mutant(
        "cookie-udp",
        "what was captured is forgotten where the first allocation is refused",
        "schemes.cookie_udp",
        'return Done(State(bucket, captured, slots), "ENOMEM")',
        'return Done(State(bucket, captured if locked else (), slots), "ENOMEM")',
        "full-batch-refused-enomem",
    ),
    Mutant(
        "cookie-udp",
        "after the allocation under the lock, only what had fitted is taken",
        "schemes.cookie_udp",
        "return _look(bucket, cookies, want, table, has_grown=True)",
        "rest = from_first(captured, table.buckets[bucket])[:slots]\n"
        "        return Showing(bucket, rest, want) if locked else _look(bucket, cookies, want, table, has_grown=True)",
        "mutant-still-too-small",
        together=("add-head", "realloc"),
    ),
    Mutant(
        "cookie-tcp",
        "of the cookies, the last that is still there is gone on with",
        "schemes.cookie_udp",
        "for cookie in cookies:",
        "for cookie in reversed(cookies):",
        "add_some",
    ),
    Mutant(
        "cookie-tcp",
        "the cookies are carried over into later buckets and the established table",
        "schemes.cookie_tcp",
        "cookies if filled == bucket else ()",
        "cookies",
        "two_ports",
    ),
    Mutant(
        "cookie-tcp",
        "an iterator that has captured nothing yet takes its bucket for done",
        "schemes.cookie_tcp",
        "return _onwards(*state, table, has_grown=False)",
        "return _onwards(state.bucket + (not state.cookies), state.cookies, state.slots, table, has_grown=False)",
        "remove_seen",
    ),
    Mutant(
        "cookie-tcp",
        "after growing, the walk goes on in the next bucket",
        "schemes.cookie_tcp",
        "return _look(bucket, (sought or ()) if locked else captured, want, True, table)",
        "return _onwards(bucket + 1, (), want, table, has_grown=True)",
        "force_realloc",
    ),
    Mutant(
        "cookie-tcp",
        "ENOMEM is swallowed, so that the read looks like the end",
        "schemes.cookie_tcp",
        'return Done(State(bucket, captured if locked else (), slots), "ENOMEM")',
        "return Done(State(bucket, captured if locked else (), slots))",
        "full-batch-refused-enomem",
    ),
    Mutant(
        "cookie-tcp",
        "an empty bucket is taken for the end",
        "schemes.cookie_tcp",
        "filled = table.first_filled(bucket)",
        "filled = table.first_filled(bucket) if table.buckets[bucket:bucket + 1] != ((),) else len(table.buckets)",
        "offset-tcp-skip",
    ),
    # Keys.
    Mutant(
        "key-order",
        "an element is unseen from the remembered key on, not above it",
        "schemes.key_order",
        "element.name > key",
        "element.name >= key",
        "add_some",
    ),
    Mutant(
        "key-order",
        "a batch takes the first elements of the list, not the least keys",
        "schemes.key_order",
        "tuple(sorted(above)[:slots])",
        "tuple(above[:slots])",
        "keys_against_the_list",
    ),
    Mutant(
        "key-order",
        "a batch that lacks one element is taken for the whole bucket",
        "schemes.key_order",
        "len(above) <= slots",
        "len(above) <= slots + 1",
        "keys_against_the_list",
    ),
    Mutant(
        "key-order",
        "the key of a bucket is used in a later one",
        "schemes.key_order",
        "key if filled == bucket else None",
        "key",
        "emptied_bucket_with_higher_keys",
        together=("remove", "rehash"),
    ),
    Mutant(
        "key-order",
        "the element that a read stops before is remembered as the last shown",
        "schemes.key_order",
        "return Done(State(bucket, key, slots))",
        "return Done(State(bucket, batch[0].name, slots))",
        "add_some",
    ),
    Mutant(
        "key-home",
        "the walk is over a table in which elements do move",
        "schemes.key_order",
        "    has_fixed_hash = True",
        "    has_fixed_hash = False",
        "full-batch-held-skip-moved-rehash",
    ),
    Mutant(
        "key-home",
        "behind the end the walk begins again",
        "schemes.key_order",
        "return Done(State(filled, None, slots))",
        "return Done(State(0, None, slots))",
        "add_some",
    ),
    # Files and dumps.
    Mutant(
        "proc-udp",
        "a read that stops forgets the line that it returned last",
        "schemes.rank",
        "return Place(place.rank, None, place.rank)",
        "return Place(place.rank, None, max(place.rank - 1, 0))",
        "add_some",
    ),
    Mutant(
        "proc-tcp",
        "the last socket of a bucket is left out",
        "schemes.proc_tcp",
        "if offset + 1 < len(sockets):",
        "if offset + 2 < len(sockets):",
        "two_ports",
    ),
    Mutant(
        "udp-diag",
        "the count of a bucket is kept in the next one",
        "schemes.dump",
        "return Further(Place(following, 0))",
        "return Further(Place(following, seen))",
        "two_ports",
    ),
    Mutant(
        "tcp-diag",
        "the last socket of a bucket is left out",
        "schemes.dump",
        "if seen < len(sockets):",
        "if seen < len(sockets) - 1:",
        "add_some",
    ),
    Mutant(
        "unix-diag",
        "an empty bucket is the end",
        "schemes.dump",
        "following = table.first_filled(bucket + 1)",
        "following = bucket + 1 if table.buckets[bucket + 1 : bucket + 2] not in ((), ((),)) else len(table.buckets)",
        "empty_bucket",
    ),
    # Lists and chains.
    Mutant(
        "packet-diag",
        "the third socket is passed over",
        "schemes.one_list",
        "return Found(elements[place], place + 1)",
        "return Found(elements[place], place + 1 + (place == 1))",
        "remove_unseen",
    ),
    Mutant(
        "nsid",
        "the first id is dumped in place of the second one",
        "schemes.one_list",
        "return Found(elements[place], place + 1)",
        "return Found(elements[place if place != 1 else 0], place + 1)",
        "remove_unseen",
    ),
    Mutant(
        "nsid-count",
        "the last id is left out",
        "schemes.one_list",
        "if place < len(elements)",
        "if place < len(elements) - 1",
        "remove_unseen",
    ),
    Mutant(
        "netlink-diag",
        "a message begins with the last socket of the one before",
        "schemes.netlink_diag",
        "return self._done(waiting.behind)",
        "return self._done(waiting.behind._replace(passed=max(waiting.behind.passed - 2, 0), last=''))",
        "nsid-skip",
    ),
    Mutant(
        "netlink",
        "the third socket is passed over",
        "schemes.netlink_walk",
        "return Found(chain[left], place + 1)",
        "return Found(chain[left], place + 1 + (place == 1))",
        "remove_unseen",
    ),
    Mutant(
        "proc-netlink",
        "the first socket is taken for the title",
        "schemes.netlink_walk",
        "    start = 0",
        "    start = 1",
        "remove_unseen",
    ),
    Mutant(
        "map-next-key",
        "the last element of a bucket is taken for the next one",
        "schemes.map_next_key",
        "return Returning(table.buckets[bucket][position + 1])",
        "return Returning(table.buckets[bucket][-1])",
        "add_some",
    ),
    Mutant(
        "map-batch",
        "a call with room left passes over a bucket",
        "schemes.map_batch",
        "return Returning(bucket, rest) if rest else _from(bucket + 1, table, first=False)",
        "return Returning(bucket, rest) if rest else _from(min(bucket + 2, len(table.buckets)), table, first=False)",
        "rank-skip-elsewhere-remove",
    ),
    Mutant(
        "map-iter",
        "the count of a bucket is one too high",
        "schemes.dump",
        "return Found(sockets[seen], Place(bucket, seen + 1))",
        "return Found(sockets[seen], Place(bucket, seen + 1 + (seen == 1)))",
        "add_some",
    ),
    Mutant(
        "proc-unix",
        "the bucket behind the next one is taken",
        "schemes.dump",
        "following = table.first_filled(bucket + 1)",
        "following = table.first_filled(bucket + 2)",
        "two_ports",
    ),
    Mutant(
        "proc-conntrack",
        "the last entry of a bucket is left out",
        "schemes.dump",
        "if seen < len(sockets):",
        "if seen < len(sockets) - (seen > 0):",
        "add_some",
    ),
    Mutant(
        "conntrack",
        "the entry behind the remembered one is sent first",
        "schemes.conntrack",
        "position = next((nth for nth, (name, _) in enumerate(entries) if name == entry), 0)",
        "position = next((nth + 1 for nth, (name, _) in enumerate(entries[:-1]) if name == entry), 0)",
        "add_some",
    ),
    Mutant(
        "threads",
        "the next thread is remembered as the last one",
        "schemes.threads",
        "return Done(State(thread, is_next=True))",
        "return Done(State(thread))",
        "remove_seen",
    ),
    Mutant(
        "listns",
        "the id behind the next one is returned",
        "schemes.listns",
        "if last is None or socket.idx > last",
        "if last is None or socket.idx > last + 1",
        "remove_unseen",
    ),
)
