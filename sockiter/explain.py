"""What is to be said of a trace, in words: why a socket is skipped, repeated or stale, and how far that is known.

Decided here: what is said of a finding, and by which event it came about. Every sentence states what the history shows: in
which read something happened, and which change was the last before it. Not known here: what a change did to a scheme, how
the words are laid out, and how a verdict is come to.
"""

from __future__ import annotations

from collections.abc import Sequence

from sockiter.history import GaveUp, History, Returned, Shown
from sockiter.operations import Add, Change, Rehash, Reinsert, Remove, changes
from sockiter.trace import Names, Trace, call, listed
from sockiter.verdict import VIOLATIONS, Finding

# Of what is listed in a sentence: names, and reads.
SAID_MAX, ORDINALS_MAX = 8, 6


def words(trace: Trace) -> tuple[str, ...]:
    """What is to be said of an iteration: for each finding what came about and when, and what holds besides."""
    said = [_said(trace, finding) for finding in trace.verdict]
    kinds = {finding.kind for finding in trace.verdict}
    if _end(trace) < len(trace.moments):
        if kinds.isdisjoint(VIOLATIONS):
            said.append("Every socket that was there from open to the end was delivered exactly once.")
    elif "incomplete" not in kinds:
        said.append("No read said the end, so skips were not judged.")
    return tuple(said)


def turn(trace: Trace, finding: Finding) -> int:
    """The event of the history by which a socket's skip, repeat or stale delivery came about.

    A skip: where one that was behind it then was shown, or the end was said, whichever is first. A repeat: where it was
    shown again. Stale: where it was shown first while it was not there.
    """
    name = finding.socket
    shown = [nth for nth, event in enumerate(trace.history.events) if event == Shown(name or "")]
    match finding.kind:
        case "skip":
            passing = (
                nth
                for nth, event in enumerate(trace.history.events)
                if isinstance(event, Shown) and _is_behind(trace.moments[nth].state, event.name, name)
            )
            return min(next(passing, _end(trace)), _end(trace))
        case "repeat":
            return shown[1]
        case _:
            return next(nth for nth in shown if not _is_there(trace.history, name, nth))


def _said(trace: Trace, finding: Finding) -> str:
    name = finding.socket
    match finding.kind:
        case "skip":
            at = turn(trace, finding)
            event = trace.history.events[at]
            if isinstance(event, Shown):
                passed = f"It was passed over {_when(trace, at)}, where {event.name}, behind it, came first."
            else:
                passed = f"{_capital(_ordinals([trace.moments[at].reads + 1]))} said the end without it."
            # One that was delivered after the end was skipped none the less.
            none = "no read until then" if any(name in read.delivered for read in trace.history.reads) else "no read"
            return (
                f"{name} is skipped: it was in the table from open to the end, and {none} delivered it. "
                f"{_moved(trace, finding)} {passed} {_last_change(trace, at, 'that', name)}"
            )
        case "repeat":
            reads = [nth for nth, read in enumerate(trace.history.reads, 1) for one in read.delivered if one == name]
            first, second = trace.history.events.index(Shown(name or "")), turn(trace, finding)
            last = _last(trace, second)
            # What is inside a read and right before a record may have come while that was being made, and is to be told.
            if last is None or last < first - 1 or (last < first and not trace.moments[last].inside):
                between = "Nothing changed between its first turn and its second."
            else:
                between = _last_change(trace, second, "its second turn", name)
            return f"{name} is repeated: {_deliveries(reads)}. {_moved(trace, finding)} {between}"
        case "stale":
            at = turn(trace, finding)
            left = [nth for nth, event in enumerate(trace.history.events[:at]) if event == Remove(name or "")]
            after = f"after {_change(trace, left[-1])}" if left else "when it was not in the table"
            return f"{name} is stale: its turn came {_when(trace, at)}, {after}. {_moved(trace, finding)}"
        case "stuck":
            at = trace.history.events.index(GaveUp())
            nth = trace.moments[at].reads
            answer = trace.history.reads[nth - 1]
            gave = f"returned {answer.error}" if answer.error else f"delivered {listed(answer.delivered, SAID_MAX)}"
            return (
                f"The iteration is stuck: `read all` gave up after {_ordinals([nth])}, which {gave}; none of its reads said "
                f"the end. {_last_change(trace, at, 'that')}"
            )
        case "refused":
            errors: dict[str, list[int]] = {}
            for nth, read in enumerate(trace.history.reads, 1):
                if read.error is not None:
                    errors.setdefault(read.error, []).append(nth)
            return f"The iteration was refused: {', and '.join(f'{_ordinals(n)} returned {e}' for e, n in errors.items())}."
    return (  # incomplete
        "The iteration is incomplete: no read said the end, so skips were not judged. Of what was read, nothing was "
        "repeated or stale."
    )


def _moved(trace: Trace, finding: Finding) -> str:
    end = _end(trace)
    moves = [
        nth
        for nth, event in enumerate(trace.history.events[:end])
        if isinstance(event, (Reinsert, Rehash)) and event.name == finding.socket
    ]
    if moves:
        return f"{finding.socket} itself was moved, {'last ' if len(moves) > 1 else ''}by {_change(trace, moves[-1])}."
    # One that was moved before open, or after the end, did move, but that had nothing to do with it.
    ever = any(
        isinstance(change, (Reinsert, Rehash)) and change.name == finding.socket
        for op in trace.case.operations
        for change in changes(op)
    )
    if not ever:
        return f"{finding.socket} itself never moved."
    return (
        f"{finding.socket} itself did not move {'between open and the end' if end < len(trace.moments) else 'after open'}."
    )


def _last(trace: Trace, before: int) -> int | None:
    return next((nth for nth in range(before - 1, -1, -1) if isinstance(trace.history.events[nth], Change)), None)


def _last_change(trace: Trace, before: int, what: str, name: str | None = None) -> str:
    # Where it is known in which of several buckets a socket was, the last change there says more than the last of all.
    last = _last(trace, before)
    if last is None:
        return "Nothing had changed since open by then."
    if len(trace.buckets) > 1 and (near := _last_near(trace, before, name)) is not None:
        return f"The last change to its bucket before {what} was {_change(trace, near)}."
    return f"The last change before {what} was {_change(trace, last)}."


def _last_near(trace: Trace, before: int, name: str | None) -> int | None:
    states = [trace.start, *(moment.state for moment in trace.moments[: before + 1])]
    numbers = [nth for nth, bucket in enumerate(states[-1] or ()) if name in bucket]
    for nth in range(before - 1, -1, -1):
        old, new = states[nth], states[nth + 1]
        if old is not None and new is not None and any(old[number] != new[number] for number in numbers):
            return nth
    return None


def _change(trace: Trace, nth: int) -> str:
    event = trace.history.events[nth]
    assert isinstance(event, Change)
    return f"{call(event)}, {_when(trace, nth)}"


def _when(trace: Trace, nth: int) -> str:
    moment = trace.moments[nth]
    if moment.inside:
        within = "inside" if isinstance(trace.history.events[nth], Change) else "in"
        return f"{within} {_ordinals([moment.reads + 1])}"
    if moment.reads == len(trace.history.reads):
        return f"after {_ordinals([moment.reads])}"
    if moment.reads == 0:
        return f"before {_ordinals([1])}"
    return f"between the {_ordinal(moment.reads)} and {_ordinal(moment.reads + 1)} read"


def _end(trace: Trace) -> int:
    # The event that ended the iteration; the number of events if none did.
    ends = (nth for nth, event in enumerate(trace.history.events) if isinstance(event, Returned) and event.is_the_end)
    return next(ends, len(trace.history.events))


def _is_behind(state: Names | None, name: str, other: str | None) -> bool:
    order = [socket for bucket in state or () for socket in bucket]
    return name in order and other in order and order.index(name) > order.index(other)


def _is_there(history: History, name: str | None, before: int) -> bool:
    there = name in history.opened
    for event in history.events[:before]:
        if isinstance(event, (Add, Remove)) and event.name == name:
            there = isinstance(event, Add)
    return there


def _deliveries(reads: list[int]) -> str:
    # Who delivered a socket more than once; a read stands in the list once for each time.
    different = sorted(set(reads))
    if len(different) == 1:
        return f"{_ordinals(different)} delivered it {'twice' if len(reads) == 2 else f'{len(reads)} times'}"
    if len(reads) == 2:
        return f"{_ordinals(different)} both delivered it"
    return f"it was delivered {len(reads)} times, by {_ordinals(different)}"


def _ordinals(reads: Sequence[int]) -> str:
    if len(reads) > ORDINALS_MAX:
        return f"{len(reads)} reads from the {_ordinal(reads[0])} to the {_ordinal(reads[-1])}"
    *others, last = map(_ordinal, reads)
    return f"the {', '.join(others)} and {last} reads" if others else f"the {last} read"


def _ordinal(number: int) -> str:
    teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
