"""Detects whether KVM runs a guest here at the hardware's speed.

A /dev/kvm that can be opened is not enough. On a virtual machine, KVM may emulate a guest's instructions one by one,
slower than qemu's own emulation, or may not support qemu's usual model of the processor.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
from pathlib import Path

from sockiter.vm import programs

KVM = "/dev/kvm"
_KVM_GET_API_VERSION = 0xAE00
_API_VERSION = 12

# The best model first. The second model leaves out a register that a nested KVM may refuse to set.
_MODELS = ("host", "host,arch-capabilities=off")
# Hardware takes some hundredths of a second for this number of loops; an interpreter of single instructions takes minutes.
_TURNS = 1 << 26
_LIMIT_S = 3.0
# The port of the device isa-debug-exit, the value written to it, and the resulting exit status.
_PORT, _VALUE = 0xF4, 0x10
_DONE = _VALUE << 1 | 1


def model(qemu: str, folder: Path) -> tuple[str | None, str]:
    """A model of processor that works with KVM, or None and the reason. `folder` is for a file of 64 KiB."""
    if why := _refusal():
        return None, why
    firmware = folder / "loop.bin"
    firmware.write_bytes(loop(_TURNS))
    why = ""
    for candidate in _MODELS:
        if not (why := _trial(qemu, candidate, firmware)):
            return candidate, ""
    return None, why


def loop(turns: int) -> bytes:
    """Firmware that counts down from `turns`, and then makes qemu end with a special status."""
    code = b"".join(
        (
            b"\x66\xb9" + struct.pack("<I", turns),  # mov ecx, turns
            b"\x66\x49\x75\xfc",  # dec ecx; jnz back to it
            bytes((0xB0, _VALUE, 0xE6, _PORT)),  # mov al, value; out port, al
            b"\xf4",  # hlt
        )
    )
    # A processor starts 16 bytes before the end of its firmware: there is a far jump to the beginning.
    return code.ljust(0xFFF0, b"\xf4") + b"\xea\x00\x00\x00\xf0".ljust(16, b"\xf4")


def _refusal() -> str:
    # The reason why this process has no KVM, or "".
    try:
        descriptor = os.open(KVM, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"{KVM}: {error.strerror}"
    try:
        version = fcntl.ioctl(descriptor, _KVM_GET_API_VERSION)
    except OSError as error:
        return f"{KVM}: KVM_GET_API_VERSION: {error.strerror}"
    finally:
        os.close(descriptor)
    return "" if version == _API_VERSION else f"{KVM}: API version {version}; expected {_API_VERSION}"


def _trial(qemu: str, candidate: str, firmware: Path) -> str:
    # The reason why the loop does not finish, or "".
    arguments = [qemu, "-accel", "kvm", "-cpu", candidate, "-machine", "q35", "-m", "64M", "-nodefaults", "-display", "none"]
    arguments += ["-no-reboot", "-bios", str(firmware), "-device", f"isa-debug-exit,iobase={_PORT:#x},iosize=1"]
    with programs.running(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            status = process.wait(_LIMIT_S)
        except subprocess.TimeoutExpired:
            return f"{KVM} is slower than emulation"
    if status == _DONE:
        return ""
    how = signal.Signals(-status).name if status < 0 else f"status {status}"
    return f"{Path(qemu).name} ends with {how} on {KVM}"
