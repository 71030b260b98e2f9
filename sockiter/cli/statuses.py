"""The exit statuses, the same for all commands, and how the help of each puts them.

Decided here: the words. Not known here: what a command finds out.
"""

from __future__ import annotations

import signal

from sockiter.errors import CannotJudge

INTERRUPTED = 130
OUTPUT_CLOSED = 128 + signal.SIGPIPE
"""What a shell reports of a program that SIGPIPE has ended: whoever read the output has seen enough. No claim failed."""

# What has status 1, by command; a command that is not listed has no such status.
_FAILURES = {
    "fuzz": "a claim was broken",
    "advise": "a measurement shows more than the model admits",
    "check": "a claim was broken, or a search was cut short and proves nothing; with --verify, searches disagree",
    "matrix": "a claim was broken, or a search was cut short",
    "prove": "the relation of a scheme and its code differ, or a claim is not proved",
    "replay": "a result is not as expected, or breaks a claim",
    "kernels": "a result that is not known to happen on a kernel",
    "conform": "a difference, of which a least case is kept",
    "promise": "the promise is broken",
    "race": "a violation that the iterator's scheme does not admit, of which a record is kept",
}
# What else has status 3, by command.
_OTHERWISE = {
    "advise": "nothing could be searched",
    "fuzz": "no sequence was run, a case could not be saved, or a worker failed",
    "check": "a scheme of another package has an error",
    "matrix": "a scheme of another package has an error",
    "replay": "no case could be run",
    "kernels": "a kernel could not be booted, or its survey was cut short",
}
_ALL = "a claim was broken or a result is not as expected"
_WRONG = "2 wrong usage or input, 3 a missing prerequisite"
_REST = f"{INTERRUPTED} interrupted (findings are reported first), {OUTPUT_CLOSED} the reader of the output has closed it."


def described(command: str | None) -> str:
    """The exit statuses of a command, as its help ends; of all of them without one."""
    if command == "vm":
        return f"Exit status: the command's own, or 124 after the time limit; {_WRONG}, {_REST}"
    if command == "promise":
        no_verdict = f"{CannotJudge.status} the kernel cannot be built, booted or tried"
        return f"Exit status: 0 the promise is kept, 1 {_FAILURES[command]}, {_WRONG}, {no_verdict}, {_REST}"
    failure = _ALL if command is None else _FAILURES.get(command)
    otherwise = f", or {_OTHERWISE[command]}" if command in _OTHERWISE else ""
    return f"Exit status: 0 fine, {f'1 {failure}, ' if failure else ''}{_WRONG}{otherwise}, {_REST}"
