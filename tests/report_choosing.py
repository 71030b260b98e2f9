"""Write the table of docs/explanation/choosing.md: promises, proofs, stated costs, and counted looks of each scheme.

`python -m tests.report_choosing` prints the rows, in half a minute.
"""

from __future__ import annotations

from sockiter.claims import in_order
from sockiter.prove.relations import RELATIONS
from sockiter.schemes import SCHEMES
from sockiter.schemes.costs import Costs, costs_of
from sockiter.schemes.scheme import AnyScheme
from tests.support.counted_table import walked

# The variants with narrow versions lose elements in a table that is so large.
CHOICES = tuple(scheme for scheme in SCHEMES if costs_of(scheme) and scheme.name not in ("index-narrow", "index-detect"))
SIZES = (100, 1_000, 10_000)
READS = 100


def promises(scheme: AnyScheme) -> str:
    """The known failures of elements that stay and of elements that move, and the errors, in three columns."""
    columns = []
    for kinds, moved in ((("skip", "repeat"), False), (("skip", "repeat"), True), (("refused",), False)):
        words = []
        for kind in kinds:
            failures = [failure for failure in scheme.known_failures if (failure.kind, failure.moved) == (kind, moved)]
            if failures:
                causes = dict.fromkeys(" + ".join(in_order(failure.hazards)) or "no change" for failure in failures)
                words.append(f"{kind}: {', '.join(causes)}" if kind != "refused" else ", ".join(causes))
        columns.append("; ".join(words) or "none")
    return " | ".join(columns)


def stated(costs: Costs) -> str:
    """The stated costs, in three columns: bytes of elements and tables, bytes of an iterator, and work for others."""
    bytes_of = {"element": costs.element, "bucket": costs.bucket, "table": costs.table}
    of_table = ", ".join(f"{size} per {what}" for what, size in bytes_of.items() if size) or "0"
    of_iterator = f"{costs.iterator} + {costs.slot} per slot" if costs.slot else str(costs.iterator)
    of_iterator += ", and references" * costs.holds_references
    works = {"insert": costs.insert, "remove": costs.remove, "move": costs.move}
    return f"{of_table} | {of_iterator} | {', '.join(f'{what}: {work}' for what, work in works.items() if work) or 'none'}"


def proof(scheme: AnyScheme) -> str:
    """The scope of the proof of the claims."""
    return "*any number*" if scheme.name in RELATIONS else "scope"


def looks(scheme: AnyScheme, elements: int) -> str:
    """The elements that a walk looks at in one bucket, and in as many buckets as elements, for each element."""
    per = [walked(scheme, elements, buckets, elements // READS).looked_at / elements for buckets in (1, elements)]
    return " / ".join(f"{count:.1f}" for count in per)


def beginning(scheme: AnyScheme) -> str:
    """The row of a scheme up to the counts of the smallest table."""
    costs = costs_of(scheme)
    assert costs is not None
    return f"| `{scheme.name}` | {promises(scheme)} | {proof(scheme)} | {stated(costs)} | {looks(scheme, SIZES[0])} |"


if __name__ == "__main__":
    for one in CHOICES:
        print(beginning(one), *(f"{looks(one, size)} |" for size in SIZES[1:]), flush=True)
