"""Explains the findings of a trace in words: in which read a socket is skipped or repeated, and the last change before.

Each finding has an event of the history as its cause. Every sentence states facts of the history only. The effect of a
change on a scheme is not known here.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from sockiter.history import GaveUp, Reopened, Returned, Shown
from sockiter.operations import Accept, Add, Again, Change, Close, Destroy, Rehash, Reinsert, Remove, changes
from sockiter.report.trace import Names, Trace, call, listed
from sockiter.verdict import OF_A_SOCKET, VIOLATIONS, Finding, Kind

_MOVES = (Reinsert, Rehash, Close, Accept)
# The limits of lists in a sentence: names, and reads.
NAMES_LISTED_MAX, ORDINALS_MAX = 8, 6
SENTENCES_MAX = 20
"""The limit of sentences about findings of one kind; further findings are only counted."""


def words(trace: Trace) -> tuple[str, ...]:
    """The explanation of a trace: a sentence for each finding, then other facts of the iteration.

    Sockets that were skipped in the same way share a sentence. A kind has at most `SENTENCES_MAX` sentences.
    """
    return tuple(sentence for _, sentence in sentences(trace))


def sentences(trace: Trace) -> list[tuple[Kind | None, str]]:
    """The sentences of `words`, each with the kind of its finding; None for other facts."""
    result = _skips(trace)
    other_turns = _turns_of_others(trace)
    left: dict[Kind, int] = {}
    for finding in trace.verdict:
        if finding.kind == "skip":
            continue
        if sum(kind == finding.kind for kind, _ in result) < SENTENCES_MAX:
            result.append((finding.kind, _sentence(trace, finding, other_turns.get((finding.kind, finding.socket), 0))))
        else:
            left[finding.kind] = left.get(finding.kind, 0) + 1
    result += [
        (kind, f"{number} more {'are stale' if kind == 'stale' else 'are repeated'}.") for kind, number in left.items()
    ]
    kinds = {finding.kind for finding in trace.verdict}
    if _end(trace) < len(trace.event_times):
        if kinds.isdisjoint(VIOLATIONS):
            result.append((None, _fine(trace)))
    elif "incomplete" not in kinds:
        result.append((None, "No read reported the end, so skips were not judged."))
    return result


def _fine(trace: Trace) -> str:
    operations = trace.case.operations
    some = any(isinstance(change, Add) and "unwanted" in change.properties for op in operations for change in changes(op))
    times = "at least once; the reader joins its passes by cookie" if Again() in operations else "exactly once"
    return f"Every {'wanted ' if some else ''}socket that was there from open to the end was delivered {times}."


def turns(trace: Trace) -> dict[Finding, int]:
    """The number of the event that caused each skip, repeat and stale delivery.

    A skip: the first event that shows a socket behind the skipped one, or that ends the walk. A repeat: the event that shows
    the socket again. Stale: the first event that shows the socket while it is not in the table.
    """
    skips = _turns_of_skips(trace)
    other_turns = _turns_of_others(trace)
    return {
        finding: skips[finding.socket or ""] if finding.kind == "skip" else other_turns[finding.kind, finding.socket]
        for finding in trace.verdict
        if finding.kind in OF_A_SOCKET
    }


def _skips(trace: Trace) -> list[tuple[Kind | None, str]]:
    # There may be thousands of skips, most of them alike. The sentence depends on the event that caused a skip, on the
    # socket's bucket at that event, on its own moves, and on a delivery after the end. So each sentence is made once.
    delivered = {name for read in trace.history.reads for name in read.delivered}
    moved = {change.name for op in trace.case.operations for change in changes(op) if isinstance(change, _MOVES)}
    alike: dict[tuple[int, tuple[str, ...]], list[str]] = {}
    same: dict[Hashable, tuple[int, tuple[str, ...]]] = {}
    state: Names | None = None
    buckets: dict[str, int] = {}
    left = 0
    for name, at in _turns_of_skips(trace).items():
        if at < len(trace.event_times) and trace.event_times[at].state is not state:
            state = trace.event_times[at].state
            buckets = {socket: nth for nth, bucket in enumerate(state or ()) for socket in bucket}
        key = at, buckets.get(name), name in delivered, name if name in moved else None
        if key not in same:
            if len(same) >= SENTENCES_MAX:
                left += 1
                continue
            same[key] = at, _how_skipped(trace, name, at)
        alike.setdefault(same[key], []).append(name)
    result: list[tuple[Kind | None, str]] = [("skip", _skipped(trace, names, at)) for (at, _), names in alike.items()]
    return [*result, ("skip", f"{left} more are skipped.")] if left else result


def _turns_of_skips(trace: Trace) -> dict[str, int]:
    # One pass for all skips: there may be thousands.
    end = _end_of_walk(trace)
    turns = {finding.socket or "": end for finding in trace.verdict if finding.kind == "skip"}
    pending = set(turns)
    state: Names | None = None
    places: dict[str, int] = {}
    left: list[str] = []
    first = _last_pass(trace)
    for nth, event in enumerate(trace.history.events[first:end], first):
        if not pending:
            break
        if isinstance(event, Shown):
            if trace.event_times[nth].state is not state or not places:
                state = trace.event_times[nth].state
                places = {name: place for place, name in enumerate(socket for bucket in state or () for socket in bucket)}
                left = sorted((name for name in pending if name in places), key=places.__getitem__, reverse=True)
            while left and places[left[-1]] < places.get(event.name, -1):
                turns[left[-1]] = nth
                pending.remove(left.pop())
    return turns


def _turns_of_others(trace: Trace) -> dict[tuple[Kind, str | None], int]:
    # The event that showed each socket again, and the first event that showed it while it was not in the table.
    found: dict[tuple[Kind, str | None], int] = {}
    shown: set[str] = set()
    there = set(trace.history.opened)
    for nth, event in enumerate(trace.history.events):
        if isinstance(event, Shown):
            if event.name in shown:
                found.setdefault(("repeat", event.name), nth)
            if event.name not in there:
                found.setdefault(("stale", event.name), nth)
            shown.add(event.name)
        elif isinstance(event, Add):
            there.add(event.name)
        elif isinstance(event, (Remove, Destroy)):
            there.discard(event.name)
    return found


def _how_skipped(trace: Trace, name: str, at: int, *, are_many: bool = False) -> tuple[str, str, str, str]:
    # The reads that did not deliver a socket, its moves, the event that passed it over, and the last change before. Sockets
    # that were skipped in the same way get the same words.
    it, was, its = ("them", "They were", "their") if are_many else ("it", "It was", "its")
    event = trace.history.events[at]
    if isinstance(event, Shown):
        by = _delivering(trace, at)
        if by == trace.event_times[at].reads + 1:
            passed = f"{was} passed over {_when(trace, at)}, where {event.name}, behind {it}, came first."
        else:
            delivered = f", which {_ordinals([by])} delivered" if by else ""
            passed = (
                f"{was} passed over {_when(trace, at)}, when the record of {event.name}, behind {it}, was made{delivered}."
            )
    elif at == _end(trace):
        passed = f"{_capital(_ordinals([trace.event_times[at].reads + 1]))} reported the end without {it}."
    else:
        end = trace.event_times[_end(trace)].reads + 1
        passed = f"The walk reached the end without {it} {_when(trace, at)}, and {_ordinals([end])} reported it."
    # A socket that was delivered only after the end was skipped.
    none = "no read until then" if any(name in read.delivered for read in trace.history.reads) else "no read"
    last = _last_change(trace, at, "that", name).replace(" to its bucket ", f" to {its} bucket ")
    return none, _moved(trace, name).removeprefix(name), passed, last


def _skipped(trace: Trace, names: Sequence[str], at: int) -> str:
    none, moved, passed, last = _how_skipped(trace, names[0], at, are_many=len(names) > 1)
    there = "in the table from open to the end"
    if len(names) == 1:
        return f"{names[0]} is skipped: it was {there}, and {none} delivered it. {names[0]}{moved} {passed} {last}"
    moved = moved.replace(" itself never", " ever").replace(" itself did not move", " moved")
    skipped = f"{listed(names, NAMES_LISTED_MAX)} are skipped: they were {there}, and {none} delivered them."
    return f"{skipped} None of them{moved} {passed} {last}"


def _delivering(trace: Trace, nth: int) -> int | None:
    # The read that delivered the record of an event; None if no read did.
    event = trace.history.events[nth]
    times = trace.history.events[: nth + 1].count(event)
    name = event.name if isinstance(event, Shown) else ""
    for number, read in enumerate(trace.history.reads, 1):
        times -= read.delivered.count(name)
        if times <= 0:
            return number
    return None


def _end_of_walk(trace: Trace) -> int:
    # The event that ended the walk. A dump is one message ahead of the reads, and so is its end: the dump reached the end
    # when the last message with a record was received.
    end = _end(trace)
    events, event_times = trace.history.events, trace.event_times
    if end == len(event_times) or not isinstance(events[0], Shown) or event_times[0].inside:
        return end
    first = last = max(nth for nth in range(end) if isinstance(events[nth], Shown))
    while first and isinstance(events[first - 1], Shown) and event_times[first - 1] == event_times[last]:
        first -= 1
    returned = [nth for nth, event in enumerate(events) if isinstance(event, Returned)]
    by = _delivering(trace, first)
    return returned[by - 1] if by else end


def _sentence(trace: Trace, finding: Finding, at: int) -> str:
    name = finding.socket or ""
    match finding.kind:
        case "repeat":
            reads = [
                nth for nth, read in enumerate(trace.history.reads, 1) for delivered in read.delivered if delivered == name
            ]
            first, second = trace.history.events.index(Shown(name)), at
            last = _last(trace, second)
            # A change inside a read, right before a record, may have happened while the record was made. So it is mentioned.
            if last is None or last < first - 1 or (last < first and not trace.event_times[last].inside):
                between = "Nothing changed between its first turn and its second."
            else:
                between = _last_change(trace, second, "its second turn", name)
            return f"{name} is repeated: {_deliveries(reads)}. {_moved(trace, name)} {between}"
        case "stale":
            by = _delivering(trace, at)
            later = f" {_capital(_ordinals([by]))} delivered it." if by and by != trace.event_times[at].reads + 1 else ""
            left = [nth for nth, event in enumerate(trace.history.events[:at]) if event in (Remove(name), Destroy(name))]
            after = f"after {_change(trace, left[-1])}" if left else "when it was not in the table"
            return f"{name} is stale: its turn came {_when(trace, at)}, {after}.{later} {_moved(trace, name)}"
        case "stuck":
            at = trace.history.events.index(GaveUp())
            nth = trace.event_times[at].reads
            returned = trace.history.reads[nth - 1]
            gave = (
                f"returned {returned.error}"
                if returned.error
                else f"delivered {listed(returned.delivered, NAMES_LISTED_MAX)}"
            )
            return (
                f"The iteration is stuck: `read all` gave up after {_ordinals([nth])}, which {gave}; none of its reads "
                f"reported the end. {_last_change(trace, at, 'that')}"
            )
        case "refused":
            errors: dict[str, list[int]] = {}
            for nth, read in enumerate(trace.history.reads, 1):
                if read.error is not None:
                    errors.setdefault(read.error, []).append(nth)
            return f"The iteration was refused: {', and '.join(f'{_ordinals(n)} returned {e}' for e, n in errors.items())}."
    return (  # incomplete
        "The iteration is incomplete: no read reported the end, so skips were not judged. No delivered socket was "
        "repeated or stale."
    )


def _moved(trace: Trace, name: str) -> str:
    end = _end(trace)
    moves = [nth for nth, event in enumerate(trace.history.events[:end]) if isinstance(event, _MOVES) and event.name == name]
    if moves:
        # A successor with the same cookie is the same socket.
        how = "got a successor" if isinstance(trace.history.events[moves[-1]], (Close, Accept)) else "was moved"
        return f"{name} itself {how}, {'last ' if len(moves) > 1 else ''}by {_change(trace, moves[-1])}."
    # A move before open or after the end cannot be the cause.
    ever = any(isinstance(change, _MOVES) and change.name == name for op in trace.case.operations for change in changes(op))
    if not ever:
        return f"{name} itself never moved."
    return f"{name} itself did not move {'between open and the end' if end < len(trace.event_times) else 'after open'}."


def _last(trace: Trace, before: int) -> int | None:
    return next((nth for nth in range(before - 1, -1, -1) if isinstance(trace.history.events[nth], Change)), None)


def _last_change(trace: Trace, before: int, point: str, name: str | None = None) -> str:
    # If the socket's bucket is known, the last change to that bucket is more informative than the last of all changes.
    last = _last(trace, before)
    if last is None:
        return "Nothing had changed since open by then."
    if len(trace.buckets) > 1 and (near := _last_near(trace, before, name)) is not None:
        return f"The last change to its bucket before {point} was {_change(trace, near)}."
    return f"The last change before {point} was {_change(trace, last)}."


def _last_near(trace: Trace, before: int, name: str | None) -> int | None:
    states = [trace.start, *(event_time.state for event_time in trace.event_times[: before + 1])]
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
    event_time = trace.event_times[nth]
    if isinstance(trace.history.events[nth], Shown) and not event_time.inside:
        return "at open"
    if event_time.inside:
        within = "inside" if isinstance(trace.history.events[nth], Change) else "in"
        return f"{within} {_ordinals([event_time.reads + 1])}"
    if event_time.reads == len(trace.history.reads):
        return f"after {_ordinals([event_time.reads])}"
    if event_time.reads == 0:
        return f"before {_ordinals([1])}"
    return f"between the {_ordinal(event_time.reads)} and {_ordinal(event_time.reads + 1)} read"


def _end(trace: Trace) -> int:
    # The event that ended the last pass of the iteration; the number of events if none did.
    first = _last_pass(trace)
    events = enumerate(trace.history.events[first:], first)
    return next(
        (nth for nth, event in events if isinstance(event, Returned) and event.is_the_end), len(trace.history.events)
    )


def _last_pass(trace: Trace) -> int:
    # The first event of the last pass.
    return max((nth + 1 for nth, event in enumerate(trace.history.events) if isinstance(event, Reopened)), default=0)


def _deliveries(reads: list[int]) -> str:
    # The reads that delivered a socket, one entry for each delivery.
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
