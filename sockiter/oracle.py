"""The judge: a history in, a verdict out.

Decided here: the definitions of skip, repeat, stale, stuck, refused, incomplete. Not known here: the source of the
history, tables, and schemes. So the verdict is the same for a model and for a kernel.
"""

from __future__ import annotations

from sockiter.history import GaveUp, History, Reopened, Returned, Shown
from sockiter.operations import Add, Bucket, Destroy, Rehash, Remove
from sockiter.verdict import KINDS, Finding, Verdict


def judge(history: History) -> Verdict:
    """The verdict on an iteration, in the order of `KINDS` and then of names.

    - skip: the socket was in the table from open until the first read that returned "end", and was not delivered by then.
    - repeat: the socket was delivered more than once.
    - stale: the socket was shown while it was not in the table. A repeat and a stale socket are certain at once.
    - stuck: the reads reached their maximum number without an "end".
    - refused: a read returned an error.
    - incomplete: no read returned "end", so skips were not judged, and there is no finding except refused.

    A reinserted or moved socket counts as present in the table all the time. So does one with a successor of the same
    cookie, which is the same socket to a user. `moved`: the socket of the finding was reinserted, moved or succeeded before
    the end. `elsewhere`, for a skip or a repeat: nothing changed in the socket's bucket from
    open to the end, or to the second time that it was shown. A socket that was added after open may be delivered once or
    not at all.

    After a second pass, the reader joins all passes by cookie. A skip is then judged at the end of the last pass, and there
    are no repeats.
    """
    present = set(history.opened)
    owed = set(history.opened)
    moved: set[str] = set()
    moved_since: set[str] = set()  # behind the end of a pass, which another may follow
    times: dict[str, int] = {}
    stale: set[str] = set()
    skipped: set[str] = set()
    ended = stuck = refused = joined = False
    for event in history.events:
        if isinstance(event, Shown):
            if event.name not in present:
                stale.add(event.name)
        elif isinstance(event, Returned):
            for name in event.delivered:
                times[name] = times.get(name, 0) + 1
            refused = refused or event.error is not None
            if event.is_the_end and not ended:
                ended = True
                skipped = owed - times.keys()
        elif isinstance(event, Add):
            present.add(event.name)
        elif isinstance(event, (Remove, Destroy)):
            present.discard(event.name)
            owed.discard(event.name)
        elif isinstance(event, GaveUp):
            stuck = True
        elif isinstance(event, Reopened):
            joined, ended = True, False
            skipped = set()
            moved |= moved_since
        else:
            (moved_since if ended else moved).add(event.name)
    repeated = {name for name, count in times.items() if count > 1 and not joined}
    unmoved = (skipped | repeated) - moved
    skips_elsewhere, repeats_elsewhere = _elsewhere(history, unmoved) if unmoved else (_NONE, _NONE)
    findings = [Finding("skip", name, name in moved, name in skips_elsewhere) for name in skipped]
    findings += [Finding("repeat", name, name in moved, name in repeats_elsewhere) for name in repeated]
    findings += [Finding("stale", name, name in moved) for name in stale]
    if stuck:
        findings.append(Finding("stuck"))
    if not ended and not findings:
        findings.append(Finding("incomplete"))
    if refused:
        findings.append(Finding("refused"))
    if len(findings) > 1:
        findings.sort(key=lambda finding: (KINDS.index(finding.kind), finding.socket or ""))
    return tuple(findings)


_NONE: frozenset[str] = frozenset()


def _elsewhere(history: History, names: set[str]) -> tuple[frozenset[str], frozenset[str]]:
    # The sockets in whose bucket nothing had changed at the end, and those in whose bucket nothing had changed when they
    # were shown a second time. A bucket is only a label here, equal for all sockets that a change in it may affect.
    buckets = dict(history.buckets)
    unchanged = names & buckets.keys()
    together: dict[Bucket, set[str]] = {}
    for name in unchanged:
        together.setdefault(buckets[name], set()).add(name)
    at_end: frozenset[str] | None = None
    passes = sum(isinstance(event, Reopened) for event in history.events)  # that are still to come
    at_second_turn: set[str] = set()
    turns: set[str] = set()
    for event in history.events:
        if not unchanged:
            break
        if isinstance(event, Shown):
            if event.name in turns and event.name in unchanged:
                at_second_turn.add(event.name)
            turns.add(event.name)
        elif isinstance(event, Returned):
            if event.is_the_end and at_end is None and not passes:
                at_end = frozenset(unchanged)
        elif isinstance(event, Reopened):
            passes -= 1
        elif not isinstance(event, GaveUp):
            before = buckets.get(event.name)
            after = event.bucket if isinstance(event, (Add, Rehash)) else None
            for changed in (before, after):
                if changed is not None:
                    unchanged -= together.pop(changed, _NONE)
            if after is not None:
                buckets[event.name] = after
            elif isinstance(event, (Remove, Destroy)):
                buckets.pop(event.name, None)
    return at_end or _NONE, frozenset(at_second_turn)
