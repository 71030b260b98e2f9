"""A case as one C program, which needs libc and the kernel's headers only.

The program makes its private namespace, carries out the case by system calls, judges the deliveries, and prints KTAP.
"""

from __future__ import annotations

import functools
import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sockiter.cases import Case, dumps
from sockiter.claims import Hazard
from sockiter.export.forms import Form, check, form_of
from sockiter.export.instructions import program_of
from sockiter.export.steps import Steps, harmless, steps_of
from sockiter.kernel.target import KernelTarget
from sockiter.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

_WIDTH = 122
_SPARE_ADDRESSES = 16


@functools.cache
def templates() -> Environment:
    """The templates of programs and mails; they escape nothing."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # here, since this import is slow

    environment = Environment(
        loader=PackageLoader("sockiter.export"),
        autoescape=False,  # C and plain text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"c_string": c_string, "prefixed": lambda word, before: before + word, "folded": _folded}
    return environment


def c_program(case: Case, target: KernelTarget, name: str, *, in_place: frozenset[Hazard] = frozenset()) -> str:
    """The C source of a case on a target; raises `Unavailable` for a case without a C form.

    `name`: the name of the KTAP test. `in_place`: as of a target, for the closed and accepted sockets of the table at open.
    """
    check(case, target)
    form = form_of(target)
    steps = steps_of(case, form, target.tables, in_place)
    uses = _closed(steps, form)
    program = program_of(form, frozenset(uses)) if "iterator" in uses else None
    is_silent = ", false" if "silent" in uses else ""
    return tidied(
        templates()
        .get_template("case.c")
        .render(
            name=name,
            about=_about(case, target, name),
            headers=_headers(form, uses),
            defines=_defines(form, uses, steps, name),
            uses={use: use in uses for use in _USES},
            kind=form.kind,
            walk=form.walk,
            v6=form.is_v6,
            width=form.line_width,
            sockets=steps.sockets,
            small_table=_SMALL_TABLES.get(form.kind),
            program=program.lines if program else [],
            values=program.values if program else [],
            macros=program.macros if program else [],
            most="BUFFER" if form.walk == "bpf" else "MOST",
            preparation=_preparation(form, uses, steps),
            inside=steps.inside,
            steps=[
                {"comment": step.comment, "calls": [call.replace("{silently}", is_silent) for call in step.calls]}
                for step in steps.steps
            ],
        )
    )


_USES = (
    *("accept", "add_established", "add_listening", "add_plain", "again", "auto_port", "both_tables", "bound"),
    *("bucket_of_socket", "by_address", "bytes", "check_tail", "close", "destroy", "destroying", "disconnect"),
    *("doomed", "entries", "established", "has_bucket", "home", "iterator", "learn", "leaves", "listening", "log"),
    *("looks_in_proc", "loopback", "member", "mode", "put_established", "read_all", "read_until_error", "reads"),
    *("rehash", "rehash_established", "rehash_listening", "reinsert", "remember", "remove", "remove_entry"),
    *("request", "route", "settings", "shared", "shown_late", "silent", "small_table", "sock_diag", "stops", "tail"),
    *("take", "unwanted", "walk_for_doomed", "walk_silently", "walk_silently_until_error", "whole_walk"),
)
_SMALL_TABLES = {
    "udp": {"since": "Linux 6.2", "path": "/proc/sys/net/ipv4/udp_child_hash_entries", "value": "128"},
    "tcp": {"since": "Linux 6.1", "path": "/proc/sys/net/ipv4/tcp_child_ehash_entries", "value": "16"},
}


def _closed(steps: Steps, form: Form) -> set[str]:
    # The parts of a program, with those that they need in turn.
    uses = set(steps.uses)

    def need(part: str, when: bool) -> None:
        if when:
            uses.add(part)

    need("leaves", bool(uses & {"remove", "destroy", "destroying"}))
    if form.kind == "udp":
        need("by_address", form.walk == "bpf" and bool(steps.pairs))
        need("home", "by_address" in uses)
        need("bucket_of_socket", "rehash" in uses or {"reinsert", "learn"} <= uses)
        need("disconnect", bool(uses & {"rehash", "reinsert"}))
        need("auto_port", bool(uses & {"rehash", "reinsert", "destroy", "destroying"}))
        need("check_tail", "tail" in uses)
        need("doomed", "destroy" in uses)
        need("walk_for_doomed", "destroy" in uses)
        need("looks_in_proc", form.walk != "bpf" and "learn" in uses)
        need("whole_walk", form.walk == "bpf" and bool(uses & {"learn", "check_tail"}))
        need("iterator", form.walk == "bpf" or "doomed" in uses)
    elif form.kind == "tcp":
        need("both_tables", {"listening", "established"} <= uses)
        need("entries", bool(uses & {"request", "close"}))
        need("take", bool(uses & {"reinsert", "rehash"}))
        need("bucket_of_socket", bool(uses & {"reinsert", "rehash"}))
        need("auto_port", bool(uses & {"reinsert", "rehash", "destroy", "destroying", "established"}))
        need("sock_diag", bool(uses & {"request", "remove_entry", "destroy"}))
        uses |= {"whole_walk", "iterator"}
    else:
        need("whole_walk", "learn" in uses)
        need("iterator", form.walk == "bpf" or "learn" in uses)
    need("small_table", form.kind != "unix")
    need("settings", "small_table" in uses)
    need("route", bool(uses & {"by_address", "established"}))
    need("loopback", "route" in uses)
    need("log", form.walk == "bpf" and bool(uses & {"silent", "destroying", "bytes"}))
    need("mode", bool(uses & {"silent", "destroying"}))
    need("shared", bool(uses & {"log", "mode", "doomed", "stops"}))
    need("has_bucket", "whole_walk" in uses or (form.walk == "bpf" and "bytes" in uses))
    need("member", "iterator" in uses and (("has_bucket" in uses and form.kind != "udp") or "unwanted" in uses))
    need("shown_late", form.walk == "proc" and "bytes" in uses)
    return uses


def _about(case: Case, target: KernelTarget, name: str) -> list[str]:
    file = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    lines = [line for paragraph in case.comment for line in textwrap.wrap(harmless(paragraph), _WIDTH)]
    options = "-O2 -pthread" if any(getattr(op, "at", ()) for op in case.operations) else "-O2"
    return [
        *([*lines, ""] if lines else []),
        f"The case, on {form_of(target).title} ({target.name}):",
        "",
        *(f"\t{harmless(line)}" for line in _operations(case)),
        "",
        "Build it, and run it as root:",
        "",
        f"\tcc {options} -Wall -Wextra -o {file} {file}.c && ./{file}",
        "",
        "It prints KTAP. Exit status: 0 every socket is delivered as it ought to be, 1 the defect is there, 4 skipped, with",
        f"the reason. Generated by sockiter {__version__}.",
    ]


def _operations(case: Case) -> list[str]:
    # Without the expectations, of which there may be many.
    return dumps(Case(case.operations, case.slots)).splitlines()


def _headers(form: Form, uses: set[str]) -> list[str]:
    system = {"errno.h", "fcntl.h", "sched.h", "stdbool.h", "stdio.h", "stdlib.h", "string.h", "unistd.h"}
    system |= {"sys/socket.h"}
    kernel = {"linux/types.h"}
    if "iterator" in uses:
        system |= {"stddef.h", "sys/stat.h", "sys/syscall.h"}
        kernel |= {"linux/bpf.h", "linux/btf.h"}
    if "shared" in uses:
        system.add("sys/mman.h")
    if "loopback" in uses:
        system |= {"net/if.h", "sys/ioctl.h"}
    if "route" in uses:
        kernel.add("linux/rtnetlink.h")
    if form.kind == "unix":
        system.add("sys/un.h")
    else:
        system |= {"arpa/inet.h", "netinet/in.h"}
    if form.kind == "tcp":
        system.add("netinet/tcp.h")
    if "entries" in uses:
        system.add("netinet/ip.h")
    if "close" in uses:
        system.add("poll.h")
    if "request" in uses:
        system |= {"net/ethernet.h", "netpacket/packet.h", "sys/time.h", "time.h"}
    if "stops" in uses:
        system.add("pthread.h")
    if form.walk == "proc" or "looks_in_proc" in uses:
        system.add("sys/stat.h")
    if form.walk == "diag" or "sock_diag" in uses:
        kernel |= {"linux/netlink.h", "linux/sock_diag.h"}
        kernel.add("linux/unix_diag.h" if form.kind == "unix" else "linux/inet_diag.h")
    return [*sorted(system), *sorted(kernel)]


def _defines(form: Form, uses: set[str], steps: Steps, name: str) -> list[str]:
    lines = [f"#define NAME {c_string(name)}"]

    def define(name: str, value: object, *, when: bool = True, comment: str = "") -> None:
        if when:
            lines.append(f"#define {name} {value}{f' /* {comment} */' if comment else ''}")

    buckets = 1 + max((number for step in (steps.connections, steps.requests) for number in step), default=0)
    define("READS_MAX", 100, comment="until a walk counts as endless")
    define("BUFFER", 32768, when=form.walk == "bpf", comment="the kernel's buffer of an iterator")
    define("FAMILY", "AF_INET6" if form.is_v6 else "AF_INET", when=form.kind != "unix")
    if form.kind == "udp":
        define("FIRST_PORT", 32768)
        define("NR_BUCKETS", 1 + max(steps.numbers), when="learn" in uses)
        define("ADDRESSES", 256, when="by_address" in uses)
    elif form.kind == "unix":
        define("NR_BUCKETS", 1 + max(steps.numbers), when="learn" in uses)
        define("NAMES", 1024, when="learn" in uses)
    else:
        define("LISTENING_PORT", 40000)
        define("NOWHERE_PORT", 40001, when="listening" in uses)
        define("CONNECTION_PORT", 50000, when="put_established" in uses)
        define("REQUEST_PORT", 50001, when="request" in uses)
        define("PEER", '"192.0.2.1"', when="established" in uses, comment="reserved for documentation")
        define("HERE", '"127.0.0.1"', when="established" in uses)
        define("NR_ADDRESSES", 1 + (steps.listening + _SPARE_ADDRESSES if steps.listening else 0))
        if "established" in uses:
            define("NR_BUCKETS", buckets)
            define("PORTS", max(*steps.connections.values(), *steps.requests.values(), 1), comment="of the peer, a bucket")
            define("CHUNK", 64)
        for nth, flag in enumerate(("FIN", "SYN", "RST", "ACK")):
            define(flag, (1, 2, 4, 16)[nth], when="entries" in uses)
    define("UNWANTED", "0x50c417", when="unwanted" in uses, comment="SO_MARK of sockets that the program filters out")
    define("SILENT", 1, when="silent" in uses)
    define("DESTROYING", 2, when="destroying" in uses)
    for nth, state in enumerate(("IDLE", "ARMED", "ASKED")):
        define(state, nth, when="stops" in uses)
    define("LOG", 4096, when="log" in uses)
    for constant, value, when in (
        ("IP_LOCAL_PORT_RANGE", 51, "auto_port" in uses),
        ("IPV6_FREEBIND", 78, form.kind == "tcp" and form.is_v6),
    ):
        lines += [f"#ifndef {constant}", f"#define {constant} {value}", "#endif"] if when else []
    return lines


def _preparation(form: Form, uses: set[str], steps: Steps) -> Sequence[str]:
    return [
        "enter_namespace();",
        *(["load_btf();", "load_iterator();"] if "iterator" in uses else []),
        *(["find_processors();"] if "stops" in uses else []),
        *(["check_tail();"] if "check_tail" in uses else []),
        *(["learn_ports();"] if form.kind == "udp" and "learn" in uses else []),
        *(f"learn_address({old}, {new});" for old, new in (steps.pairs if "by_address" in uses else ())),
        *(["learn_names();"] if form.kind == "unix" and "learn" in uses else []),
        *(["learn_addresses();"] if form.kind == "tcp" else []),
        *(["learn_ports(&connection_ports, CONNECTION_PORT);"] if "put_established" in uses else []),
        *(["learn_ports(&request_ports, REQUEST_PORT);"] if "request" in uses else []),
        *(["open_raw();"] if "entries" in uses else []),
        *(["open_listener();"] if "request" in uses else []),
    ]


def c_string(text: str) -> str:
    """A string literal of C."""
    letters = []
    for byte in text.encode():
        char = chr(byte)
        # A question mark may be part of a trigraph.
        letters.append(char if 32 <= byte < 127 and char not in '"\\?' else f"\\{byte:03o}")
    return f'"{"".join(letters)}"'


def _folded(text: str, tabs: int) -> str:
    lines = textwrap.wrap(text, _WIDTH - 8 * tabs, break_long_words=False, break_on_hyphens=False)
    return ("\n" + "\t" * tabs).join(lines)


def tidied(source: str) -> str:
    """A source with at most one empty line in a row, and no spaces at the end of a line."""
    lines = "\n".join(line.rstrip() for line in source.splitlines())
    lines = re.sub(r"\n{3,}", "\n\n", lines)
    return re.sub(r"\n\n\}", "\n}", lines).strip("\n") + "\n"
