"""The rights of this process: under sudo, those of the calling user, and three capabilities for kernel sessions.

Under sudo, everything runs as the user who called sudo. Files belong to that user, and files that the user cannot read or
write stay protected. Sessions on the kernel raise the capabilities. Schemes of other packages are called without them,
and processes without kernel work give them up. Plain root, without sudo, keeps all its rights, and so does an ordinary
user.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import re
import struct
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress

from sockiter.errors import InputError, Unavailable

CAP_NET_ADMIN = 1 << 12
CAP_NET_RAW = 1 << 13
CAP_SYS_ADMIN = 1 << 21
NEEDED = CAP_NET_ADMIN | CAP_NET_RAW | CAP_SYS_ADMIN
"""The capabilities of a kernel session: private namespace, settings, BPF programs, packets of a peer that does not exist.

No capability concerns files or users.
"""

# The last valid number; the next one means "no user".
_ID_MAX = (1 << 32) - 2
_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_CAP_AMBIENT = 4, 8, 47
_AMBIENT_RAISE, _AMBIENT_CLEAR_ALL = 2, 4
# Version 3 of the header, for the calling thread; then effective, permitted and inheritable, each as a lower and an upper
# half.
_HEADER = struct.pack("=Ii", 0x20080522, 0)
_SETS = struct.Struct("=6I")

# The capabilities that sessions can raise: 0 for root, and for a process without capabilities. None: not determined yet.
_reserve: int | None = None


def settle(environment: MutableMapping[str, str]) -> int | None:
    """Become the user who called sudo, as given by the environment, and return the user's number; None: nothing changes.

    Nothing changes without sudo, where root called sudo, and in a process without root rights, for which the environment
    does not matter. Raises `InputError` for an invalid user or group number, and `Unavailable` if the system refuses the
    change.
    """
    global _reserve
    if os.geteuid() != 0 or "SUDO_UID" not in environment:
        return None
    user, group = _number(environment, "SUDO_UID"), _number(environment, "SUDO_GID")
    if user == 0:
        return None
    try:
        _become(user, group)
    except OSError as error:
        raise Unavailable(f"cannot become user {user}, who called sudo: {error.strerror}") from None
    _reserve = None
    with suppress(KeyError):
        environment["HOME"] = pwd.getpwuid(user).pw_dir
    return user


def is_reserved() -> bool:
    """Whether this process has capabilities that are not always in effect."""
    global _reserve
    if _reserve is None:
        _reserve = 0 if os.geteuid() == 0 else _sets()[1]
    return _reserve != 0


@contextmanager
def raised() -> Iterator[None]:
    """Put the capabilities into effect for the calling thread, and for threads that it starts, until the end."""
    with _with(1):
        yield


@contextmanager
def lowered() -> Iterator[None]:
    """Take the capabilities out of effect until the end."""
    with _with(0):
        yield


def lower() -> None:
    """Take the capabilities out of effect for good; only a session raises them. For a freshly started process."""
    if is_reserved():
        _, permitted, inheritable = _sets()
        _set(0, permitted, inheritable)


def give_up() -> None:
    """Give up the capabilities, also for child processes. Not for use inside a session."""
    global _reserve
    if is_reserved():
        _reserve = 0
        _prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
        _set(0, 0, 0)


@contextmanager
def _with(part: int) -> Iterator[None]:
    if not is_reserved():
        yield
        return
    before, permitted, inheritable = _sets()
    _set(part * permitted, permitted, inheritable)
    try:
        yield
    finally:
        _set(before, permitted, inheritable)


def _number(environment: MutableMapping[str, str], name: str) -> int:
    value = environment.get(name, "")
    if not re.fullmatch(r"[0-9]{1,10}", value) or int(value) > _ID_MAX:
        expected = f"expected the number of a {'user' if name == 'SUDO_UID' else 'group'}, as sudo sets it"
        raise InputError(f"{name} is {value!a}: {expected}; without SUDO_UID, root stays root")
    return int(value)


def _become(user: int, group: int) -> None:
    kept = _sets()[1] & NEEDED
    _prctl(_PR_SET_KEEPCAPS, 1)
    try:
        os.initgroups(pwd.getpwuid(user).pw_name, group)
    except KeyError:
        os.setgroups([group])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    if sys.platform == "linux":
        _set(0, kept, kept)
        # The fork server of the workers is a program of its own, and would lose the capabilities otherwise.
        for number in range(kept.bit_length()):
            if kept >> number & 1:
                _prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, number)
        # The process's files in /proc belong to its user, as for any other process. A process with fewer capabilities
        # cannot trace it.
        _prctl(_PR_SET_DUMPABLE, 1)


def _sets() -> tuple[int, int, int]:
    # The capabilities of the calling thread: effective, permitted, inheritable.
    if sys.platform != "linux":
        return 0, 0, 0
    data = ctypes.create_string_buffer(_SETS.size)
    _checked(_library().capget(_HEADER, data))
    words = _SETS.unpack(data.raw)
    effective, permitted, inheritable = (words[n] | words[n + 3] << 32 for n in range(3))
    return effective, permitted, inheritable


def _set(*sets: int) -> None:
    words = [value >> shift & 0xFFFFFFFF for shift in (0, 32) for value in sets]
    _checked(_library().capset(_HEADER, _SETS.pack(*words)))


def _prctl(option: int, first: int, second: int = 0) -> None:
    if sys.platform == "linux":
        _checked(_library().prctl(option, *(ctypes.c_ulong(argument) for argument in (first, second, 0, 0))))


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
