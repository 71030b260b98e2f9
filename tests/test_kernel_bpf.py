"""What lies below the kernel targets, with the kernel's answers made up: BTF, system calls, namespaces, and what is said
when a machine lacks something. Needs no privileges."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sockiter.errors import MachineLacks
from sockiter.kernel import answers, bpf, btf, libc, namespace, udp_sockets
from sockiter.kernel.bpf import MANY, Walker
from sockiter.kernel.iteration import Iteration
from sockiter.kernel.program import RECORD, writes_a_record
from sockiter.kernel.udp import KernelUdp
from sockiter.operations import FIRST, READS_MAX, Add, At, Bucket, End, Fail, Open, Operation, Read, Rehash, Reinsert

EPERM = f"EPERM ({os.strerror(errno.EPERM)})"
EINVAL = f"EINVAL ({os.strerror(errno.EINVAL)})"


@pytest.fixture(autouse=True)
def _nothing_is_known_yet() -> Iterator[None]:
    for forget in (answers.forget, btf.kernel_function.cache_clear):
        forget()
    yield
    for forget in (answers.forget, btf.kernel_function.cache_clear):
        forget()


def btf_of(*types: tuple[int, str, int]) -> bytes:
    """A BTF with these types (kind, name, words after the header), each with two members where its kind has any."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for _, name, _ in types)
    offset, body = 1, b""
    for kind, name, words in types:
        body += struct.pack("=III", offset, kind << 24 | 2, 0) + bytes(4 * words)
        offset += len(name) + 1
    return struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), len(strings)) + body + strings


def failing(number: int) -> Callable[..., int]:
    """A system call that is refused."""

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return refuse


def scripted(*outcomes: int | OSError) -> Callable[..., int]:
    """A system call with these outcomes, one after the other."""
    left = list(outcomes)

    def call(*_: object) -> int:
        outcome = left.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    return call


def a_file() -> int:
    return os.open(os.devnull, os.O_RDONLY)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


# BTF


def test_a_function_is_found_behind_types_of_every_kind() -> None:
    words = {1: 1, 3: 3, 4: 6, 5: 6, 6: 4, 13: 4, 14: 1, 15: 6, 17: 1, 19: 6}
    types = [(kind, f"type{kind}", words.get(kind, 0)) for kind in range(1, 20)]
    assert btf.function_id(btf_of(*types, (12, "wanted", 0), (2, "after", 0)), "wanted") == 20


def test_a_type_that_only_has_the_name_of_a_function_is_not_taken_for_it() -> None:
    assert btf.function_id(btf_of((4, "wanted", 6), (2, "pointer", 0)), "wanted") is None


def test_a_name_that_only_ends_like_another_is_not_found() -> None:
    assert btf.function_id(btf_of((12, "not_wanted", 0)), "wanted") is None


@pytest.mark.parametrize(
    ("data", "told"), [(b"", "it begins with nothing"), (b"\x7fELF" + bytes(40), "it begins with 7f45")]
)
def test_what_is_no_btf_is_said_to_be_none(data: bytes, told: str) -> None:
    with pytest.raises(MachineLacks, match=told):
        btf.function_id(data, "wanted")


def test_a_kind_of_type_that_is_not_known_is_named() -> None:
    with pytest.raises(MachineLacks, match="a type of kind 20, which is not known here; known: 1 to 19"):
        btf.function_id(btf_of((20, "new", 0), (12, "wanted", 0)), "wanted")


def test_the_kernels_btf_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "btf").write_bytes(btf_of((12, "bpf_iter_udp", 0)))
    monkeypatch.setattr(btf, "VMLINUX", str(tmp_path / "btf"))
    assert btf.kernel_function("bpf_iter_udp") == 1
    (tmp_path / "btf").unlink()
    assert btf.kernel_function("bpf_iter_udp") == 1


# System calls


class Library:
    """A C library whose calls all return `result`."""

    def __init__(self, result: int) -> None:
        self.result = result
        self.calls: list[tuple[object, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*arguments: object) -> int:
            self.calls.append((name, *arguments))
            ctypes.set_errno(errno.EPERM)
            return self.result

        return call


CALLS: list[tuple[Callable[[], object], tuple[object, ...]]] = [
    (lambda: libc.bpf(5, b"attr", 4), ("syscall", 321, 5, b"attr", 4)),
    (lambda: libc.unshare(1), ("unshare", 1)),
    (lambda: libc.setns(3, 1), ("setns", 3, 1)),
]


@pytest.mark.parametrize(("call", "made"), CALLS)
def test_a_system_call_is_made_as_it_was_asked_for(
    call: Callable[[], object], made: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(0)
    monkeypatch.setattr(libc, "_library", lambda: library)
    monkeypatch.setattr(libc, "_bpf_number", lambda: 321)
    call()
    assert library.calls == [made]


@pytest.mark.parametrize(("call", "made"), CALLS)
def test_a_system_call_that_fails_raises_its_errno(
    call: Callable[[], object], made: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libc, "_library", lambda: Library(-1))
    monkeypatch.setattr(libc, "_bpf_number", lambda: 321)
    with pytest.raises(PermissionError):
        call()


def test_the_number_of_bpf_depends_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert libc._bpf_number.__wrapped__() == 280


def test_a_machine_where_bpf_has_no_known_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(MachineLacks, match="no known number on machine 'vax'; expected one of x86_64, aarch64"):
        libc._bpf_number.__wrapped__()


def test_a_refusal_for_want_of_privileges_says_which() -> None:
    told = str(libc.lacks("unshare", OSError(errno.EPERM, ""), takes="CAP_SYS_ADMIN"))
    assert told == f"unshare: {EPERM}; it takes root, or CAP_SYS_ADMIN"


def test_another_refusal_says_its_errno_alone() -> None:
    assert str(libc.lacks("unshare", OSError(errno.EINVAL, ""), takes="CAP_SYS_ADMIN")) == f"unshare: {EINVAL}"


# The program and its loading


def test_the_program_has_sixteen_instructions_and_a_record_sixteen_bytes() -> None:
    assert (len(writes_a_record(bucket_at=24)), RECORD.size) == (16 * 8, 16)


@pytest.fixture
def with_btf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The running kernel has a function bpf_iter_udp, its BTF says."""
    (tmp_path / "btf").write_bytes(btf_of((12, "bpf_iter_udp", 0)))
    monkeypatch.setattr(btf, "VMLINUX", str(tmp_path / "btf"))


@pytest.mark.usefixtures("with_btf")
def test_the_program_is_let_go_when_the_link_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    program, link = a_file(), a_file()
    monkeypatch.setattr(libc, "bpf", scripted(program, link))
    with bpf.walker("bpf_iter_udp", bucket_at=24) as walker:
        assert walker == Walker(struct.pack("=II", link, 0))
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(program)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(link)


def refuse_with_a_log(log: bytes) -> Callable[..., int]:
    def call(_command: int, attributes: ctypes.Array[ctypes.c_char], _size: int) -> int:
        level, size, where = struct.unpack_from("=IIQ", attributes.raw, 24)
        assert (level, size, where > 0) in ((0, 0, False), (1, 1 << 16, True))
        if level:
            ctypes.memmove(where, log, len(log))
        raise OSError(errno.EINVAL, "")

    return call


@pytest.mark.usefixtures("with_btf")
def test_a_program_that_is_refused_says_what_the_verifier_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "bpf", refuse_with_a_log(b"0: R1=ctx()\n\n1: R6=ptr\n2: what is that\nprocessed 3 insns\n"))
    with pytest.raises(MachineLacks) as caught, bpf.walker("bpf_iter_udp", bucket_at=24):
        pass
    verifier = "1: R6=ptr | 2: what is that | processed 3 insns"
    assert str(caught.value) == f"bpf(BPF_PROG_LOAD) for bpf_iter_udp (the verifier: {verifier}): {EINVAL}"


@pytest.mark.usefixtures("with_btf")
def test_a_link_that_is_refused_leaves_no_program_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    monkeypatch.setattr(libc, "bpf", scripted(a_file(), OSError(errno.EINVAL, "")))
    with pytest.raises(MachineLacks, match="BPF_LINK_CREATE"), bpf.walker("bpf_iter_udp", bucket_at=24):
        pass
    assert open_files() == before


def test_an_iterator_that_is_refused_is_something_the_machine_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "bpf", failing(errno.EPERM))
    with pytest.raises(MachineLacks, match=r"BPF_ITER_CREATE.*EPERM"):
        Walker(b"").open()


# What a target says is missing


def said_missing() -> str:
    said = KernelUdp().missing()
    assert said is not None
    return said


def test_another_system_is_missing_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_system", lambda: "darwin")
    assert said_missing() == "not Linux: sys.platform is 'darwin'"


def test_a_kernel_without_btf_is_missing_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(btf, "VMLINUX", str(tmp_path / "absent"))
    assert said_missing() == f"no BTF: open {tmp_path}/absent: ENOENT ({os.strerror(errno.ENOENT)})"


def test_a_kernel_without_the_iterator_is_missing_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "btf").write_bytes(btf_of((12, "bpf_iter_tcp", 0)))
    monkeypatch.setattr(btf, "VMLINUX", str(tmp_path / "btf"))
    assert said_missing() == f"this kernel has no iterator bpf_iter_udp: no such function in {tmp_path}/btf"


@pytest.mark.usefixtures("with_btf")
def test_a_user_who_may_not_load_programs_is_missing_the_privilege(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "bpf", failing(errno.EPERM))
    told = f"bpf(BPF_PROG_LOAD) for bpf_iter_udp: {EPERM}; it takes root, or CAP_BPF and CAP_PERFMON"
    assert said_missing() == told


@pytest.mark.usefixtures("with_btf")
def test_a_user_who_may_not_make_namespaces_is_missing_the_privilege(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    monkeypatch.setattr(libc, "bpf", scripted(a_file(), a_file()))
    monkeypatch.setattr(libc, "unshare", failing(errno.EPERM))
    assert said_missing() == f"unshare(CLONE_NEWNET): {EPERM}; it takes root, or CAP_SYS_ADMIN"
    assert open_files() == before


@pytest.mark.usefixtures("with_btf")
def test_whatever_else_goes_wrong_is_said_and_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "bpf", scripted())
    assert said_missing() == "trying kernel:udp failed: IndexError: pop from empty list"


def test_an_answer_is_kept_until_it_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_system", lambda: "darwin")
    said = said_missing()
    monkeypatch.setattr(answers, "_system", lambda: "win32")
    assert said_missing() == said
    answers.forget()
    assert said_missing() == "not Linux: sys.platform is 'win32'"


def test_an_attempt_that_succeeds_is_made_once() -> None:
    made: list[None] = []
    for _ in range(2):
        assert answers.why_missing("any", lambda: made.append(None)) is None
    assert len(made) == 1


# Namespaces


class Thread:
    """The namespaces of a thread: `unshare` goes through those of `next`, `setns` to the one that was there first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *following: str) -> None:
        self.now = "net:[1]"
        self.following = list(following)
        self.trail = [self.now]
        monkeypatch.setattr(namespace, "HERE", os.devnull)
        monkeypatch.setattr(namespace, "where", lambda: self.now)
        monkeypatch.setattr(libc, "unshare", lambda _: self._go(self.following.pop(0)))
        monkeypatch.setattr(libc, "setns", lambda *_: self._go("net:[1]"))

    def _go(self, name: str) -> None:
        self.now = name
        self.trail.append(name)


def test_a_thread_goes_into_a_private_namespace_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    thread = Thread(monkeypatch, "net:[2]")
    with namespace.private():
        assert thread.now == "net:[2]"
    assert thread.trail == ["net:[1]", "net:[2]", "net:[1]"]
    assert open_files() == before


def test_settings_are_made_in_a_first_namespace_for_a_second_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thread = Thread(monkeypatch, "net:[2]", "net:[3]")
    (tmp_path / "setting").touch()
    with namespace.private((f"{tmp_path}/no/setting", "1"), (f"{tmp_path}/setting", "128")):
        assert thread.now == "net:[3]"
    assert (tmp_path / "setting").read_text() == "128"


def test_without_the_setting_one_namespace_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thread = Thread(monkeypatch, "net:[2]")
    with namespace.private((f"{tmp_path}/no/setting", "1")):
        assert thread.now == "net:[2]"


def test_a_thread_that_did_not_leave_its_namespace_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = Thread(monkeypatch, "net:[1]")
    with (
        pytest.raises(MachineLacks, match=r"had no effect: this thread is still in net:\[1\]"),
        namespace.private(),
    ):
        pass
    assert thread.trail == ["net:[1]", "net:[1]"]


def test_a_thread_that_cannot_get_back_in_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = Thread(monkeypatch, "net:[2]")
    with namespace.private() as private:
        thread.now = "net:[9]"
        with pytest.raises(RuntimeError, match=r"is in net:\[1\], not in its private net:\[2\]"):
            private.enter()


def test_a_machine_without_proc_is_missing_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace, "HERE", f"{tmp_path}/absent")
    with pytest.raises(MachineLacks, match=r"open .*/absent: ENOENT"), namespace.private():
        pass


# One iteration, with the answers of the kernel made up


class Table:
    """Sockets whose cookies count from 1."""

    buckets = (7,)

    def __init__(self) -> None:
        self.made = 0

    def enter(self) -> None:
        pass

    def add(self, name: str, end: End, bucket: Bucket) -> int:
        self.made += 1
        return self.made

    def remove(self, name: str) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def iteration(monkeypatch: pytest.MonkeyPatch) -> Iterator[Iteration]:
    """With one socket A, and open."""
    monkeypatch.setattr(libc, "bpf", lambda *_: a_file())
    backend = Iteration("kernel:any", Walker(b""), Table())
    backend.apply(Add("A", "head"))
    backend.apply(Open())
    yield backend
    backend.close()


def reads_give(monkeypatch: pytest.MonkeyPatch, *answers: list[int] | OSError) -> list[int]:
    """Reads deliver these cookies or errors, and the last answer for ever; returns the counts asked for."""
    left, asked = list(answers), list[int]()

    def read(_fd: int, count: int) -> list[tuple[int, int]]:
        asked.append(count)
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, OSError):
            raise answer
        return [(cookie, 7) for cookie in answer]

    monkeypatch.setattr("sockiter.kernel.iteration.read", read)
    return asked


def events(iteration: Iteration) -> list[str]:
    return [str(event) for event in iteration.history.events]


def test_a_read_that_fails_returns_the_name_of_its_errno(iteration: Iteration, monkeypatch: pytest.MonkeyPatch) -> None:
    reads_give(monkeypatch, OSError(errno.ENOMEM, ""))
    iteration.apply(Read(1))
    assert events(iteration) == ["Returned(delivered=(), error='ENOMEM')"]


def test_an_errno_without_a_name_is_told_by_its_number(iteration: Iteration, monkeypatch: pytest.MonkeyPatch) -> None:
    reads_give(monkeypatch, OSError(524, ""))
    iteration.apply(Read(1))
    assert events(iteration) == ["Returned(delivered=(), error='524')"]


def test_reading_to_the_end_goes_on_after_an_error(iteration: Iteration, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = reads_give(monkeypatch, OSError(errno.ENOMEM, ""), [1], [])
    iteration.apply(Read(None))
    assert events(iteration) == [
        "Returned(delivered=(), error='ENOMEM')",
        "Shown(name='A')",
        "Returned(delivered=('A',), error=None)",
        "Returned(delivered=(), error=None)",
    ]
    assert asked == [MANY] * 3


def test_reading_to_an_end_that_never_comes_is_given_up(iteration: Iteration, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = reads_give(monkeypatch, [1])
    iteration.apply(Read(None))
    assert len(asked) == READS_MAX
    assert events(iteration)[-1] == "GaveUp()"


def test_a_socket_that_is_not_ours_is_an_internal_error(iteration: Iteration, monkeypatch: pytest.MonkeyPatch) -> None:
    reads_give(monkeypatch, [99])
    with pytest.raises(RuntimeError, match="kernel:any delivered a socket with cookie 99"):
        iteration.apply(Read(1))


@pytest.mark.parametrize("answer", [OSError(errno.ENOMEM, ""), [1]])
def test_a_state_that_cannot_be_read_is_not_known(
    answer: list[int] | OSError, iteration: Iteration, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_files()
    reads_give(monkeypatch, answer)
    assert iteration.state() is None
    assert open_files() == before


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        (Reinsert("A", "tail"), "kernel:any cannot do this: reinsert A"),
        (Rehash("A", FIRST), "kernel:any cannot do this: rehash A"),
        (Read(1, at=(At("realloc", 1, Fail()),)), "kernel:any cannot do anything inside a read"),
    ],
)
def test_an_operation_that_is_not_known_yet_is_refused(operation: Operation, told: str, iteration: Iteration) -> None:
    with pytest.raises(MachineLacks, match=told):
        iteration.apply(operation)


def test_a_place_is_not_known(iteration: Iteration) -> None:
    assert iteration.place() == ""


# Sockets, with the kernel's answers made up


class Socket:
    """Every call of it fails, or it cannot even be made."""

    closed = 0

    def __init__(self, *_: int) -> None:
        pass

    def setsockopt(self, *_: int) -> None:
        raise self.trouble

    def close(self) -> None:
        type(self).closed += 1

    trouble: BaseException = OSError(errno.EMFILE, "")


class Interrupted(Socket):
    trouble = KeyboardInterrupt()


class Unmade(Socket):
    def __init__(self, *_: int) -> None:
        raise OSError(errno.EAFNOSUPPORT, "")


@pytest.mark.parametrize(
    ("kind", "raised", "told"),
    [
        (Socket, MachineLacks, "one more UDP socket at the tail of a bucket: EMFILE"),
        (Unmade, MachineLacks, "one more UDP socket at the tail of a bucket: EAFNOSUPPORT"),
        (Interrupted, KeyboardInterrupt, "^$"),
    ],
)
def test_a_socket_that_cannot_be_had_is_not_left_open(
    kind: type[Socket], raised: type[BaseException], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp_sockets, "_Socket", kind)
    kind.closed = 0
    with pytest.raises(raised, match=told):
        udp_sockets._bound("tail", 1024)
    assert kind.closed == (kind is not Unmade)


class Kernel:
    """Stands for a kernel whose table has so many buckets and puts sockets at the `ends` that it knows; and for its
    namespace, walker and sockets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, buckets: int, *ends: End) -> None:
        self.listed: list[tuple[int, int]] = []  # cookie and port
        self.made = 0
        self.buckets = buckets
        self.ends = ends
        self.error: OSError | None = None
        monkeypatch.setattr(udp_sockets, "_Socket", lambda family, _: InTheKernel(self, family))
        monkeypatch.setattr(udp_sockets, "read", self.read)

    def ports(self) -> udp_sockets.Ports:
        return udp_sockets.Ports(self, self)  # type: ignore[arg-type]

    def open(self) -> int:
        return a_file()

    def stay(self) -> None:
        pass

    def read(self, _fd: int, _count: int) -> list[tuple[int, int]]:
        if self.error is not None:
            raise self.error
        return sorted(((cookie, port % self.buckets) for cookie, port in self.listed), key=lambda record: record[1])


class InTheKernel:
    """A socket of this kernel."""

    def __init__(self, kernel: Kernel, family: int) -> None:
        kernel.made += 1
        self.kernel, self.family, self.cookie = kernel, family, kernel.made

    def setsockopt(self, *_: int) -> None:
        pass

    def bind(self, address: tuple[str, int]) -> None:
        end: End = "head" if self.family == socket.AF_INET else "tail"
        at = 0 if (end if end in self.kernel.ends else self.kernel.ends[0]) == "head" else len(self.kernel.listed)
        self.kernel.listed.insert(at, (self.cookie, address[1]))

    def getsockopt(self, *_: int) -> bytes:
        return struct.pack("=Q", self.cookie)

    def close(self) -> None:
        self.kernel.listed = [one for one in self.kernel.listed if one[0] != self.cookie]


def test_ports_are_learned_until_there_are_enough_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, 1000, "head", "tail")
    ports = kernel.ports()
    assert kernel.made == 3
    assert ports.places(1) == ((24, 1024),)
    assert kernel.made == 3 + 256
    places = ports.places(1000)
    assert [bucket for bucket, _ in places] == list(range(1000))
    assert all(port % 1000 == bucket for bucket, port in places)
    assert kernel.listed == []


def test_more_buckets_than_the_table_has_are_refused_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = Kernel(monkeypatch, 300, "head", "tail").ports()
    for _ in range(2):
        with pytest.raises(MachineLacks, match="the kernel's UDP table has 300 buckets here; the case asks for 301"):
            ports.places(301)
    assert len(ports.places(300)) == 300


def test_a_kernel_that_knows_only_the_head_is_missing_the_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, 1, "head")
    with pytest.raises(MachineLacks, match=r"walks a table that has no tail adds \(as Linux before 6.5\)"):
        kernel.ports()
    assert kernel.listed == []


def test_a_kernel_that_knows_only_the_tail_is_not_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, 1, "tail")
    with pytest.raises(MachineLacks, match="added at head, tail and head are walked in neither of the known orders"):
        kernel.ports()
    assert kernel.listed == []


def test_an_iterator_that_cannot_be_read_is_something_the_machine_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, 1, "head", "tail")
    kernel.error = OSError(errno.ENOMEM, "")
    before = open_files()
    with pytest.raises(MachineLacks, match="read of a UDP iterator: ENOMEM"):
        kernel.ports()
    assert (kernel.listed, open_files()) == ([], before)


def test_more_sockets_than_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp_sockets, "SOCKETS_MAX", 2)
    kernel = Kernel(monkeypatch, 1, "head", "tail")
    sockets = udp_sockets.UdpSockets(kernel, ((0, 1024),))  # type: ignore[arg-type]
    for name in "AB":
        sockets.add(name, "head", FIRST)
    with pytest.raises(MachineLacks, match="an iteration can have 2 sockets at a time; the case asks for more"):
        sockets.add("C", "head", FIRST)
    sockets.remove("A")
    sockets.add("C", "head", FIRST)
    sockets.close()
    sockets.close()
    assert kernel.listed == []
