"""The known ranges of kernel releases for each scheme, with their sources.

A map for readers only: no code path uses it, since stable branches and distributions change the scheme by backport. A
target detects the scheme of the running kernel.
"""

from __future__ import annotations

from typing import NamedTuple

NEWEST = "on"
"""In place of a last release: so far, every later release of that range is known to use the same scheme."""


class Known(NamedTuple):
    """One range of releases of one walk. A range of three-part releases is one stable branch, and it overrules mainline.

    `scheme` is empty where no model matches. `first` is empty for all releases up to `last`, which is inclusive and may be
    `NEWEST`. `basis` names the commit, the advisory or the measurement: "measured" means thousands of random sequences,
    "detected" the short sequences of the detection.
    """

    walk: str
    scheme: str
    first: str
    last: str
    basis: str


KNOWN: tuple[Known, ...] = (
    Known("UDP", "rank", "", "6.4", "source of 6.1; commit c96dac8d369f (6.5) ended it; measured on Debian's 6.1.170"),
    Known("UDP", "", "6.5", "6.7", "commit c96dac8d369f; two defects of its own, and no model"),
    Known("UDP", "offset-udp", "6.6.14", NEWEST, "backport of commits 19ca0823f6ea and 2242fd537fab"),
    Known("UDP", "offset-udp", "6.7.2", NEWEST, "backport of commits 19ca0823f6ea and 2242fd537fab"),
    Known("UDP", "offset-udp", "6.8", "6.15", "commits 19ca0823f6ea and 2242fd537fab; measured on Debian's 6.12.117"),
    Known("UDP", "cookie-udp", "6.16", NEWEST, "commit 5668f73f09ae; measured on 6.18.44; detected on Debian's 7.2.13"),
    Known("TCP", "offset-tcp", "5.15", "6.16", "commit 04c7820b776f; measured on Debian's 6.1.170 and 6.12.101"),
    Known("TCP", "cookie-tcp", "6.1.183", NEWEST, "backport with the fix of CVE-2026-74714; measured on Debian's 6.1.192"),
    Known("TCP", "cookie-tcp", "6.6.152", NEWEST, "backport with the fix of CVE-2026-74714"),
    Known("TCP", "cookie-tcp", "6.12.104", NEWEST, "backport with the fix of CVE-2026-74714; measured on Debian's 6.12.117"),
    Known("TCP", "cookie-tcp", "6.17", NEWEST, "commit f5080f612a1c; measured on 6.18.44; detected on Debian's 7.2.13"),
    Known(
        "UNIX",
        "unix",
        "6.1",
        "7.2",
        "commit 855d8e77ffb0; source of 6.1 to 7.1; measured on 6.1.170, 6.12.117, 6.18.44; detected on 7.2.13",
    ),
    Known(
        "/proc/net/udp",
        "proc-udp",
        "6.1",
        "7.2",
        "source of 6.1 to 7.1; measured on 6.1.170, 6.12.117, 6.18.44; detected on 7.2.13",
    ),
    Known(
        "/proc/net/tcp",
        "proc-tcp",
        "6.1",
        "7.2",
        "source of 6.18; measured on 6.18.44; detected on Debian's 6.1.170 and 7.2.13",
    ),
    Known("sock_diag of UDP", "udp-diag", "6.18", "7.2", "measured on 6.18.44; detected on Debian's 7.2.13"),
    Known("sock_diag of TCP", "tcp-diag", "6.18", "7.2", "measured on 6.18.44; detected on Debian's 7.2.13"),
    Known("sock_diag of UNIX", "unix-diag", "6.18", "7.2", "measured on 6.18.44; detected on Debian's 7.2.13"),
    Known(
        "sock_diag of packet sockets",
        "packet-diag",
        "6.1",
        "7.2",
        "measured on 6.18.44; detected on Debian's 6.1.170 and 7.2.13",
    ),
    Known(
        "sock_diag of netlink sockets",
        "netlink-diag",
        "6.1",
        "7.2",
        "measured on 6.18.44; detected on Debian's 6.1.170 and 7.2.13",
    ),
    Known("bpf_iter_netlink", "netlink", "6.1", "7.2", "measured on 6.18.44; detected on Debian's 6.1.170 and 7.2.13"),
    Known("/proc/net/netlink", "proc-netlink", "6.1", "7.2", "measured on 6.18.44; detected on Debian's 6.1.170 and 7.2.13"),
    Known("RTM_GETNSID", "nsid-count", "", "6.9", "commit 1514b06aff16 (6.10) ended it; detected on Debian's 6.1.170"),
    Known(
        "RTM_GETNSID",
        "nsid",
        "6.10",
        NEWEST,
        "commit 1514b06aff16; measured on 6.18.44; detected on Debian's 6.12.117 and 7.2.13",
    ),
    Known("/proc/net/unix", "proc-unix", "6.1", "7.2", "measured on 6.18.44; detected on Debian's 6.1.170 and 7.2.13"),
    Known(
        "BPF_MAP_GET_NEXT_KEY", "map-next-key", "6.1", "7.2", "measured on 6.18.44; detected on Debian's 6.1.170 and 7.2.13"
    ),
    Known("BPF_MAP_LOOKUP_BATCH", "map-batch", "6.1", "7.2", "measured on 6.18.44; detected on Debian's 6.1.170 and 7.2.13"),
    Known("thread iterator", "threads", "6.1", "7.2", "measured on 6.18.44; detected on Debian's 6.1.170 and 7.2.13"),
    Known("ctnetlink", "conntrack", "6.18", "6.18", "measured on 6.18.44, by hand"),
    Known("/proc/net/nf_conntrack", "proc-conntrack", "6.18", "6.18", "measured on 6.18.44, by hand"),
    Known("listns(2)", "listns", "6.19", "7.2", "source, commit 76b6f5dfb3fd; detected on Debian's 7.2.13"),
    Known("map iterator", "map-iter", "6.1", "7.2", "source, commit 11ba7ce076e5; detected on Debian's 6.1.170 and 7.2.13"),
)


def mainline(scheme: str) -> str:
    """The mainline releases of a scheme, in a few words: "UDP, mainline 6.8 to 6.15"."""
    ranges = [known for known in KNOWN if known.scheme == scheme and known.first.count(".") < 2]
    return "; ".join(f"{known.walk}, mainline {in_words(known)}" for known in ranges)


def in_words(known: Known) -> str:
    """The releases of a range: "6.8 to 6.15", "6.16 and later", "up to 6.4"."""
    if known.last == NEWEST:
        return f"{known.first} and later"
    return f"{known.first} to {known.last}" if known.first else f"up to {known.last}"
