"""Walks over a BPF hash map: first with simulated answers of the kernel, then with its own."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.reduction import ForkingPickler
from pickle import loads
from typing import Any

import pytest

from sockiter.backend import Shape, run
from sockiter.errors import Inconclusive, Unavailable
from sockiter.kernel import bpf_map, libc
from sockiter.kernel.bpf import loader, setup
from sockiter.kernel.bpf.hash_map import HashMap, hash_map
from sockiter.kernel.bpf.loader import Walker
from sockiter.kernel.bpf.programs import Value
from sockiter.kernel.bpf_map import KERNEL_MAP_BATCH, KERNEL_MAP_ITER, KERNEL_MAP_NEXT_KEY
from sockiter.kernel.maps.elements import MapElements
from sockiter.kernel.maps.keys import KEY_BYTES, bucket_of, key_of
from sockiter.kernel.maps.walks import BatchWalk, NextKeyWalk
from sockiter.kernel.namespace import Namespace
from sockiter.operations import Add, Bucket, Open, Read, Reinsert, Remove
from tests.support.kernel_reads import adds, open_files
from tests.support.kernel_targets import here


def answering(monkeypatch: pytest.MonkeyPatch, *answers: int) -> list[int]:
    """bpf(2) fails with these errors, or succeeds for 0; the commands that were given."""
    left, commands = list(answers), list[int]()

    def bpf(command: int, attributes: Any, size: int) -> int:
        commands.append(command)
        if command == 24:  # BPF_MAP_LOOKUP_BATCH writes how many elements it returns
            attributes[32:36] = bytes(4)
        if error := left.pop(0):
            raise OSError(error, os.strerror(error))
        return 0

    monkeypatch.setattr(libc, "bpf", bpf)
    return commands


class Anywhere(Namespace):
    """A namespace in which every thread is."""

    def __init__(self) -> None: ...

    def stay(self) -> None: ...


class TestWithoutAKernel:
    def test_a_map_that_cannot_be_made_is_unavailable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, errno.EPERM)
        with pytest.raises(Unavailable, match=r"BPF_F_ZERO_SEED: EPERM .* this requires root, or CAP_SYS_ADMIN"):
            ExitStack().enter_context(hash_map(KEY_BYTES, 8))

    def test_an_element_that_cannot_be_put_in_is_unavailable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, errno.ENOMEM)
        with pytest.raises(Unavailable, match=r"an element at the head of bucket 3: ENOMEM"):
            MapElements(Anywhere(), HashMap(0, KEY_BYTES)).add("A", "head", Bucket(3))

    def test_closing_passes_over_an_element_that_was_interrupted_on_its_way_in(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        elements = MapElements(Anywhere(), HashMap(0, KEY_BYTES))
        monkeypatch.setattr(HashMap, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            elements.add("A", "head", Bucket())
        answering(monkeypatch, errno.ENOENT)
        elements.close()
        assert len(elements) == 0

    def test_a_map_that_is_full_is_inconclusive(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sockiter.kernel.maps.elements.ELEMENTS_MAX", 0)
        with pytest.raises(Inconclusive, match="a map has at most 0 elements here"):
            MapElements(Anywhere(), HashMap(0, KEY_BYTES)).add("A", "head", Bucket())

    def test_a_loop_makes_no_call_behind_its_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        commands = answering(monkeypatch, errno.ENOENT, errno.ENOENT)
        for walk in (NextKeyWalk, BatchWalk):
            reader = walk(HashMap(0, KEY_BYTES)).open()
            assert [list(reader.read(3)) for _ in range(2)] == [[], []]
            reader.close()
        assert len(commands) == 2

    def test_an_error_of_a_call_is_that_of_the_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, errno.EINVAL, errno.ENOSPC)
        for walk, error in ((NextKeyWalk, errno.EINVAL), (BatchWalk, errno.ENOSPC)):
            with pytest.raises(OSError, match=os.strerror(error)):
                walk(HashMap(0, KEY_BYTES)).open().read(1)

    def test_a_loop_is_never_stopped_inside_a_call(self) -> None:
        nothing: Any = None
        with pytest.raises(NotImplementedError):
            NextKeyWalk(HashMap(0, KEY_BYTES)).open().read_with_stops(1, "records", nothing, nothing)

    def test_a_program_that_stores_nothing_is_loaded_where_no_other_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loaded: list[int] = []

        def load(instructions: bytes, *_: Any) -> int:
            loaded.append(len(instructions))
            if len(loaded) == 1:
                raise Unavailable("the verifier")
            return os.open(os.devnull, os.O_RDONLY)

        monkeypatch.setattr(loader, "_load", load)
        monkeypatch.setattr(loader, "_linked", lambda *_: os.open(os.devnull, os.O_RDONLY))
        monkeypatch.setattr(setup, "shared_array", _shared)
        with ExitStack() as stack:
            walker, modes, lacks = setup.load_recorder(stack, "bpf_iter_bpf_map_elem", Value(), b"")
            assert isinstance(walker, Walker)
            assert set(lacks) == {"bytes", "silent"}
            assert modes is not None
        assert loaded[0] > loaded[1]

    def test_a_kernel_without_batches_lacks_that_target_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bpf_map, "_made", _made)
        answering(monkeypatch, errno.EINVAL)
        with pytest.raises(Unavailable, match=r"^bpf\(BPF_MAP_LOOKUP_BATCH\): EINVAL"):
            KERNEL_MAP_BATCH.set_up().__enter__()

    def test_a_session_of_the_iterator_links_it_to_its_map(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given: list[bytes] = []

        def load(stack: ExitStack, function: str, element: object, about: bytes) -> tuple[Any, Any, dict[Any, Any]]:
            given.append(about)
            return Walker(b""), None, {}

        monkeypatch.setattr(bpf_map, "_made", _made)
        monkeypatch.setattr(bpf_map, "load_recorder", load)
        with KERNEL_MAP_ITER.set_up() as session:
            assert session.make_elements(Shape()).has_tail is False
        assert given == [bytes([9, 0, 0, 0, *[0] * 12])]


class _made:  # noqa: N801
    """A session's map that is not there."""

    def __enter__(self) -> tuple[ExitStack, Any, HashMap]:
        return ExitStack(), None, HashMap(9, KEY_BYTES)

    def __exit__(self, *_: object) -> None: ...


class _shared:  # noqa: N801
    """A page that no program shares."""

    def __init__(self, size: int, count: int = 1) -> None:
        self._words = memoryview(bytearray(size * count)).cast("Q")

    def __enter__(self) -> tuple[int, memoryview]:
        return 0, self._words

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def a_map() -> Iterator[HashMap]:
    here(KERNEL_MAP_NEXT_KEY)
    with hash_map(KEY_BYTES, 64) as made:
        yield made


class TestOnThisKernel:
    @pytest.mark.parametrize("preallocated", [False, True])
    def test_elements_are_where_they_were_put(self, preallocated: bool) -> None:
        here(KERNEL_MAP_NEXT_KEY)
        with hash_map(KEY_BYTES, 64, preallocated=preallocated) as made:
            elements = MapElements(Anywhere(), made)
            numbers = [elements.add(f"{bucket}{n}", "head", Bucket(bucket)) for bucket in (0, 5, 63) for n in range(3)]
            inside = [numbers[at] for at in (2, 1, 0, 5, 4, 3, 8, 7, 6)]
            assert NextKeyWalk(made).open().read(99) == inside
            assert BatchWalk(made).open().read(99) == inside
            assert (len(elements), "51" in elements, elements.bucket("51")) == (9, True, Bucket(5))
            elements.reinsert("51", "head")
            assert NextKeyWalk(made).open().read(99)[3:6] == [numbers[4], numbers[5], numbers[3]]
            elements.close()
            assert NextKeyWalk(made).open().read(99) == []

    def test_a_key_is_in_the_bucket_of_its_hash(self, a_map: HashMap) -> None:
        for number in range(200):
            a_map.update(key := key_of(number + 1, 7), 0)
            assert bucket_of(key) == 7
            if number >= 50:
                a_map.delete(key_of(number - 49, 7))
        assert len(a_map.batch(None, 50).values) == 50
        assert a_map.batch(None, 49).error is not None

    def test_a_map_can_be_sent_to_another_process(self, a_map: HashMap) -> None:
        a_map.update(key_of(1, 0), 1)
        with hash_map(KEY_BYTES, 64):
            received = loads(ForkingPickler.dumps(a_map))
        assert received.fd != a_map.fd
        assert NextKeyWalk(received).open().read(9) == [1]
        os.close(received.fd)

    def test_a_batch_without_room_says_so_and_goes_on_with_room(self) -> None:
        target = here(KERNEL_MAP_BATCH)
        with target.session() as session:
            operations = (*adds("BA", "head"), Open(), Read(1), Read(2), Read(None))
            reads = run(session, target, operations).reads
        assert [(read.error, read.delivered) for read in reads] == [("ENOSPC", ()), (None, ("A", "B")), (None, ())]

    def test_a_loop_of_keys_starts_anew_when_its_key_is_gone(self) -> None:
        target = here(KERNEL_MAP_NEXT_KEY)
        with target.session() as session:
            operations = (*adds("CBA", "head"), Open(), Read(2), Remove("B"), Read(None))
            assert [read.delivered for read in run(session, target, operations).reads] == [("A", "B"), ("A", "C"), ()]

    def test_an_update_moves_an_element_to_the_head(self) -> None:
        target = here(KERNEL_MAP_NEXT_KEY)
        with target.session() as session:
            operations = (*adds("BA", "head"), Open(), Reinsert("B", "head"), Read(None))
            assert [read.delivered for read in run(session, target, operations).reads] == [("B", "A"), ()]

    def test_nothing_is_left_of_a_session(self) -> None:
        target = here(KERNEL_MAP_BATCH)
        before = open_files()
        with target.session() as session:
            run(session, target, (Add("A", "head"), Open(), Read(None)))
        assert open_files() == before

    def test_bpftool_prints_what_is_there(self, a_map: HashMap) -> None:
        if (bpftool := shutil.which("bpftool")) is None:
            pytest.skip("bpftool is not installed")
        for number in (1, 2, 3):
            a_map.update(key_of(number, number), number)
        dumped = subprocess.run(
            [bpftool, "-j", "map", "dump", "id", str(_id_of(a_map))], capture_output=True, check=True, timeout=30
        )
        assert [entry["value"][0] for entry in json.loads(dumped.stdout)] == ["0x01", "0x02", "0x03"]


def _id_of(a_map: HashMap) -> int:
    with open(f"/proc/self/fdinfo/{a_map.fd}") as info:
        return int(dict(line.split() for line in info)["map_id:"])
