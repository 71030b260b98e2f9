"""The summary of a replay: how many outcomes there were, and what was left out and why.

Decided here: which reasons are one. Not known here: when something is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sockiter.backend import Reason
from sockiter.claims import HAZARDS


@dataclass(slots=True)
class _Group:
    count: int = 0
    targets: dict[str, None] = field(default_factory=dict)
    hazards: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """The outcomes so far of so many cases on so many targets."""

    case_count: int
    target_count: int
    as_expected: int = 0
    not_as_expected: int = 0
    uncompared: int = 0
    broken: int = 0
    failed: int = 0
    begun: int = 0
    _left_out: dict[str, _Group] = field(default_factory=dict)

    @property
    def wrong(self) -> int:
        """How many results make the exit status 1."""
        return self.not_as_expected + self.broken

    def count(self, *, is_compared: bool, is_broken: bool, is_fine: bool) -> None:
        """Count a result. Without an expectation it is compared with the claims alone."""
        if is_broken:
            self.broken += 1
        elif not is_compared:
            self.uncompared += 1
        else:
            self.as_expected += is_fine
            self.not_as_expected += not is_fine

    def leave_out(self, target: str, reason: Reason) -> None:
        """Count a case that was not run on a target. A reason that differs only in its details counts as the same one."""
        match reason.kind:
            case "hazard":
                shared = "does not support"
            case "tail":
                shared = "has buckets without a tail"
            case _:
                shared = reason.text.removeprefix(f"{target} ").removeprefix(f"{target}: ")
        group = self._left_out.setdefault(shared, _Group())
        group.count += 1
        group.targets[target] = None
        group.hazards.update(dict.fromkeys(reason.hazards))

    def lines(self) -> Iterator[str]:
        """The summary: the counts, and a line for each reason."""
        left_out = sum(group.count for group in self._left_out.values())
        counts = [f"{self.as_expected:,} as expected", f"{self.not_as_expected:,} not as expected"]
        counts += [f"{self.broken:,} with a broken claim"] if self.broken else []
        counts += [f"{self.uncompared:,} compared with the claims alone"] if self.uncompared else []
        counts += [f"{self.failed:,} failed"] if self.failed else []
        counts += [f"{left_out:,} left out"] if left_out else []
        of = "" if self.begun == self.case_count else f"{self.begun:,} of "
        yield f"{of}{_counted(self.case_count, 'case')} on {_counted(self.target_count, 'target')}: {', '.join(counts)}"
        for reason, group in sorted(self._left_out.items(), key=lambda item: -item[1].count):
            hazards = f": {', '.join(hazard for hazard in HAZARDS if hazard in group.hazards)}" if group.hazards else ""
            on = ", ".join(group.targets) if len(group.targets) < 3 else f"{len(group.targets)} targets"
            yield f"{group.count:>7,}  {reason}{hazards} ({on})"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
