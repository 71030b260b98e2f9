"""The layer below the kernel targets, with simulated answers of the kernel: BTF, system calls, namespaces, prerequisites.

Needs no privileges, but for two tests.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from sockiter.errors import Unavailable
from sockiter.kernel import libc, namespace, probe, udp
from sockiter.kernel.bpf import btf, loader
from sockiter.kernel.bpf.loader import Walker
from sockiter.kernel.bpf.programs import PAGE, RECORD, InContext, record_program
from sockiter.kernel.probe import Capabilities
from sockiter.kernel.udp import KERNEL_UDP

EPERM = f"EPERM ({os.strerror(errno.EPERM)})"
EINVAL = f"EINVAL ({os.strerror(errno.EINVAL)})"


@pytest.fixture(autouse=True)
def _nothing_is_known_yet() -> Iterator[None]:
    forgets = (probe.forget, *(kept.cache_clear for kept in (btf.kernel_types, btf.kernel_function, btf.kernel_member)))
    for forget in forgets:
        forget()
    yield
    for forget in forgets:
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
    assert btf.Types(btf_of(*types, (12, "wanted", 0), (2, "after", 0))).function("wanted") == 20


def test_a_type_that_only_has_the_name_of_a_function_is_not_taken_for_it() -> None:
    assert btf.Types(btf_of((4, "wanted", 6), (2, "pointer", 0))).function("wanted") is None


def test_a_name_that_only_ends_like_another_is_not_found() -> None:
    assert btf.Types(btf_of((12, "not_wanted", 0))).function("wanted") is None


@pytest.mark.parametrize(
    ("data", "message"), [(b"", "it begins with nothing"), (b"\x7fELF" + bytes(40), "it begins with 7f45")]
)
def test_malformed_btf_is_reported(data: bytes, message: str) -> None:
    with pytest.raises(Unavailable, match=message):
        btf.Types(data)


def test_a_kind_of_type_that_is_not_known_is_named() -> None:
    with pytest.raises(Unavailable, match="a type of kind 20, which is unknown; known: 1 to 19"):
        btf.Types(btf_of((20, "new", 0), (12, "wanted", 0)))


def test_the_kernels_btf_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "btf").write_bytes(btf_of((12, "bpf_iter_udp", 0)))
    monkeypatch.setattr(btf, "VMLINUX", str(tmp_path / "btf"))
    assert btf.kernel_function("bpf_iter_udp") == 1
    (tmp_path / "btf").unlink()
    assert btf.kernel_function("bpf_iter_udp") == 1


INT, STRUCT, UNION, FUNCTION, PROTOTYPE = 1, 4, 5, 12, 13
Types = list[tuple[int, str, tuple[tuple[str, int, int], ...]]]
_FLAG = 1 << 31


def detailed(types: Types) -> btf.Types:
    """A BTF with these types: kind, name, and members, each a name, a type by its number, and an offset in bits.

    A prototype's members are its arguments; a function's only one is its prototype. A bit field's offset has the flag set.
    """
    strings, body = b"\0", b""

    def named(name: str) -> int:
        nonlocal strings
        if not name:
            return 0
        if (at := strings.find(f"\0{name}\0".encode())) < 0:
            at = len(strings) - 1
            strings += name.encode() + b"\0"
        return at + 1

    for kind, name, members in types:
        is_flagged = any(bits & _FLAG for _, _, bits in members)
        info = kind << 24 | (len(members) if kind not in (INT, FUNCTION) else 0) | (_FLAG if is_flagged else 0)
        body += struct.pack("=III", named(name), info, members[0][1] if kind == FUNCTION else 0)
        if kind == INT:
            body += bytes(4)
        for member, of, bits in members if kind in (STRUCT, UNION, PROTOTYPE) else ():
            body += struct.pack("=II", named(member), of)
            body += b"" if kind == PROTOTYPE else struct.pack("=I", bits & ~_FLAG)
    header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), len(strings))
    return btf.Types(header + body + strings)


SOCKETS: Types = [
    (INT, "word", ()),
    (STRUCT, "pair", (("first", 1, 0), ("second", 1, 32))),
    (UNION, "", (("either", 1, 0), ("", 4, 64))),
    (STRUCT, "", (("deep", 1, 32),)),
    (STRUCT, "outer", (("plain", 1, 0), ("named", 2, 64), ("", 3, 128), ("last", 1, 512))),
    (STRUCT, "narrow", (("bit", 1, _FLAG | 3 << 24 | 40), ("next", 1, _FLAG | 64))),
    (PROTOTYPE, "", (("size", 1, 0), ("flags", 1, 0), ("", 1, 0))),
    (FUNCTION, "allocates", (("", 7, 0),)),
    (PROTOTYPE, "", ()),
    (FUNCTION, "idles", (("", 9, 0),)),
]


@pytest.mark.parametrize(
    ("of", "name", "at"),
    [
        ("pair", "second", 4),
        ("outer", "plain", 0),
        ("outer", "last", 64),
        ("outer", "either", 16),
        ("outer", "deep", 16 + 8 + 4),
        ("outer", "second", None),  # it is another's
        ("outer", "absent", None),
        ("absent", "plain", None),
        ("word", "plain", None),
        ("narrow", "bit", 5),
        ("narrow", "next", 8),
    ],
)
def test_a_member_is_found_by_its_name_in_what_has_no_name_too(of: str, name: str, at: int | None) -> None:
    assert detailed(SOCKETS).member(of, name) == at


def test_an_argument_is_reported_by_its_name() -> None:
    types = detailed(SOCKETS)
    allocates, idles = types.function("allocates"), types.function("idles")
    assert (allocates, idles) == (8, 10)
    assert [types.argument(8, name) for name in ("size", "flags", "absent")] == [0, 1, None]
    assert types.argument(10, "size") is None


def test_a_member_that_the_kernel_does_not_have_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(btf, "kernel_types", lambda: detailed(SOCKETS))
    assert btf.kernel_member("outer", "last") == 64
    with pytest.raises(Unavailable, match=r"^this kernel has no member absent in struct outer, by /sys/kernel/btf/vmlinux$"):
        btf.kernel_member("outer", "absent")


@pytest.mark.usefixtures("kernel_udp")
def test_the_walk_through_the_running_kernels_types_is_short() -> None:
    data = Path(btf.VMLINUX).read_bytes()
    begin = time.process_time()
    types = btf.Types(data)
    assert types.function("bpf_iter_udp")
    assert types.member("sock_common", "skc_cookie")
    assert time.process_time() - begin < 0.5  # some 0.02 on an idle machine


@pytest.mark.usefixtures("kernel_udp")
def test_a_function_of_the_running_kernel_that_is_no_iterator_is_refused_by_name() -> None:
    with pytest.raises(Unavailable) as caught, loader.walker("udp_sendmsg", record_program(InContext(24))):
        pass
    assert str(caught.value).startswith("bpf(BPF_PROG_LOAD) for udp_sendmsg")
    assert str(caught.value).endswith(f": {EINVAL}")


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
    with pytest.raises(Unavailable, match="no known number on machine 'vax'; expected one of x86_64, aarch64"):
        libc._bpf_number.__wrapped__()


def test_a_refusal_names_the_missing_privilege() -> None:
    message = str(libc.unavailable("unshare", OSError(errno.EPERM, ""), takes="CAP_SYS_ADMIN"))
    assert message == f"unshare: {EPERM}; this requires root, or CAP_SYS_ADMIN"


def test_another_refusal_has_only_its_errno() -> None:
    assert str(libc.unavailable("unshare", OSError(errno.EINVAL, ""), takes="CAP_SYS_ADMIN")) == f"unshare: {EINVAL}"


# The program and its loading


def test_the_least_program_has_seventeen_instructions_and_a_record_sixteen_bytes() -> None:
    assert (len(record_program(InContext(24))), RECORD.size) == (17 * 8, 16)


@pytest.fixture
def with_btf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The running kernel has a function bpf_iter_udp, its BTF says."""
    (tmp_path / "btf").write_bytes(btf_of((12, "bpf_iter_udp", 0)))
    monkeypatch.setattr(btf, "VMLINUX", str(tmp_path / "btf"))


@pytest.mark.usefixtures("with_btf")
def test_the_program_is_let_go_when_the_link_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    program, link = a_file(), a_file()
    monkeypatch.setattr(libc, "bpf", scripted(program, link))
    with loader.walker("bpf_iter_udp", bytes(8)) as walker:
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
def test_a_program_that_is_refused_quotes_the_verifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "bpf", refuse_with_a_log(b"0: R1=ctx()\n\n1: R6=ptr\n2: what is that\nprocessed 3 insns\n"))
    with pytest.raises(Unavailable) as caught, loader.walker("bpf_iter_udp", bytes(8)):
        pass
    verifier = "1: R6=ptr | 2: what is that | processed 3 insns"
    assert str(caught.value) == f"bpf(BPF_PROG_LOAD) for bpf_iter_udp (the verifier: {verifier}): {EINVAL}"


@pytest.mark.usefixtures("with_btf")
def test_a_link_that_is_refused_leaves_no_program_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    monkeypatch.setattr(libc, "bpf", scripted(a_file(), OSError(errno.EINVAL, "")))
    with pytest.raises(Unavailable, match="BPF_LINK_CREATE"), loader.walker("bpf_iter_udp", bytes(8)):
        pass
    assert open_files() == before


def test_an_iterator_that_is_refused_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "bpf", failing(errno.EPERM))
    with pytest.raises(Unavailable, match=r"BPF_ITER_CREATE.*EPERM"):
        Walker(b"").open()


@pytest.mark.usefixtures("with_btf")
def test_a_program_at_an_entry_is_run_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, bytes]] = []
    program, link = a_file(), a_file()
    outcomes = scripted(program, link)

    def call(command: int, attributes: bytes | ctypes.Array[ctypes.c_char], size: int) -> int:
        asked.append((command, bytes(attributes)[:size]))
        return outcomes()

    monkeypatch.setattr(libc, "bpf", call)
    with loader.at_entry("bpf_iter_udp", bytes(8)):
        os.fstat(link)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(link)
    (load, loaded), linked = asked
    # BPF_PROG_LOAD of a BPF_PROG_TYPE_TRACING for BPF_TRACE_FENTRY, and BPF_RAW_TRACEPOINT_OPEN.
    assert (load, struct.unpack_from("=I", loaded), struct.unpack_from("=I", loaded, 68)) == (5, (26,), (24,))
    assert linked == (17, struct.pack("=QI4x", 0, program))


@pytest.mark.usefixtures("with_btf")
def test_an_entry_that_must_not_be_watched_is_reported_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    monkeypatch.setattr(libc, "bpf", scripted(a_file(), OSError(errno.EPERM, "")))
    with pytest.raises(Unavailable) as caught, loader.at_entry("bpf_iter_udp", bytes(8)):
        pass
    takes = "this requires root, or CAP_BPF and CAP_PERFMON"
    assert str(caught.value) == f"bpf(BPF_RAW_TRACEPOINT_OPEN) at bpf_iter_udp: {EPERM}; {takes}"
    assert open_files() == before


# The shared page


def a_page(*_: object) -> int:
    fd = os.memfd_create("page")
    os.truncate(fd, 1 << 20)  # enough for any map
    return fd


def test_a_page_is_shared_in_words_of_eight_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    monkeypatch.setattr(libc, "bpf", a_page)
    with loader.shared_array(PAGE) as (fd, words):
        words[7] = 0x0102030405060708
        assert os.pread(fd, 8, 56) == struct.pack("=Q", 0x0102030405060708)
        assert len(words) == os.sysconf("SC_PAGE_SIZE") // 8
    assert open_files() == before


def test_an_array_of_many_values_is_shared_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    page_size = os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(libc, "bpf", a_page)
    with loader.shared_array(16, page_size // 16 + 1) as (fd, words):
        words[page_size // 8 + 1] = 5
        assert os.pread(fd, 8, page_size + 8) == struct.pack("=Q", 5)
        assert len(words) == 2 * page_size // 8


def test_a_page_that_is_refused_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "bpf", failing(errno.EPERM))
    with pytest.raises(Unavailable, match=r"^bpf\(BPF_MAP_CREATE\): EPERM .*CAP_BPF"), loader.shared_array(PAGE):
        pass


# A whole walk


def test_a_whole_walk_reads_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    answers = [RECORD.pack(1, 2, 0) + RECORD.pack(3, 4, 1), RECORD.pack(5, 6, 1), b""]
    monkeypatch.setattr(libc, "bpf", lambda *_: a_file())
    monkeypatch.setattr(os, "read", lambda *_: answers.pop(0))
    assert loader.whole_walk(Walker(b"")) == [(1, 2, 0), (3, 4, 1), (5, 6, 1)]
    assert open_files() == before


def test_a_walk_that_cannot_be_read_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    monkeypatch.setattr(libc, "bpf", lambda *_: a_file())
    monkeypatch.setattr(os, "read", failing(errno.ENOMEM))
    with pytest.raises(Unavailable, match=r"^read of an iterator: ENOMEM"):
        loader.whole_walk(Walker(b""))
    assert open_files() == before


# Missing prerequisites of a target


@pytest.fixture
def in_no_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A private namespace is as easily had as any."""

    @contextmanager
    def private(*_: object) -> Iterator[namespace.Namespace]:
        yield namespace.Namespace(-1, "net:[1]")

    monkeypatch.setattr(udp, "private", private)
    monkeypatch.setattr(udp, "bring_up", lambda _: None)


def missing() -> str:
    message = KERNEL_UDP.missing()
    assert message is not None
    return message


def test_another_system_is_missing_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_system", lambda: "darwin")
    assert missing() == "not Linux: sys.platform is 'darwin'"


@pytest.mark.usefixtures("in_no_namespace")
def test_a_kernel_without_btf_is_missing_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(btf, "VMLINUX", str(tmp_path / "absent"))
    monkeypatch.setattr(libc, "bpf", a_page)
    assert missing() == f"no BTF: open {tmp_path}/absent: ENOENT ({os.strerror(errno.ENOENT)})"


@pytest.mark.usefixtures("in_no_namespace")
def test_a_kernel_without_the_iterator_is_missing_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "btf").write_bytes(btf_of((12, "bpf_iter_tcp", 0)))
    monkeypatch.setattr(btf, "VMLINUX", str(tmp_path / "btf"))
    monkeypatch.setattr(libc, "bpf", a_page)
    assert missing() == f"this kernel has no bpf_iter_udp: no such function in {tmp_path}/btf"


@pytest.mark.usefixtures("with_btf", "in_no_namespace")
def test_a_user_who_may_not_load_programs_is_missing_the_privilege(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    monkeypatch.setattr(libc, "bpf", lambda command, *_: a_page() if command == 0 else failing(errno.EPERM)())
    message = f"bpf(BPF_PROG_LOAD) for bpf_iter_udp: {EPERM}; this requires root, or CAP_BPF and CAP_PERFMON"
    assert missing() == message
    assert open_files() == before


def test_a_user_who_may_not_make_namespaces_is_missing_the_privilege(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    monkeypatch.setattr(libc, "unshare", failing(errno.EPERM))
    assert missing() == f"unshare(CLONE_NEWNET): {EPERM}; this requires root, or CAP_SYS_ADMIN"
    assert open_files() == before


@pytest.mark.usefixtures("in_no_namespace")
def test_whatever_else_goes_wrong_is_reported_and_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "bpf", scripted())
    assert missing() == "probing kernel:udp failed: IndexError: pop from empty list"


def test_an_answer_is_kept_until_it_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_system", lambda: "darwin")
    message = missing()
    monkeypatch.setattr(probe, "_system", lambda: "win32")
    assert missing() == message
    probe.forget()
    assert missing() == "not Linux: sys.platform is 'win32'"


def test_an_attempt_is_made_once_for_each_target() -> None:
    made: list[str] = []

    def attempt() -> Capabilities:
        made.append("attempt")
        return Capabilities(scheme="rank")

    for target in ("one", "other", "one"):
        assert probe.probe(target, attempt) == Capabilities(scheme="rank")
    assert len(made) == 2


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
        pytest.raises(Unavailable, match=r"had no effect: this thread is still in net:\[1\]"),
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
    with pytest.raises(Unavailable, match=r"open .*/absent: ENOENT"), namespace.private():
        pass


def test_a_walker_that_another_process_passes_on_has_its_own_descriptor() -> None:
    link = SimpleNamespace(detach=lambda: 7)
    assert loader._received(link) == Walker.of(7)
