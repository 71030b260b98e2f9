"""All targets: the project's schemes in the simulation, schemes of other packages, and iterators of the running kernel.

Also finds a target by its name, finds the target that a case is about, and rejects cases that no target can carry out.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from sockiter.backend import Reason, Target, refusal, shape_of
from sockiter.cases import Case, load_with_lines
from sockiter.errors import InputError, Unavailable
from sockiter.files import escaped, in_file_name
from sockiter.kernel import KERNEL_TARGETS
from sockiter.kernel.target import KernelTarget
from sockiter.operations import Add, Read, Rehash
from sockiter.plugins import load_plugins
from sockiter.schemes import SCHEMES
from sockiter.schemes.scheme import AnyScheme
from sockiter.simulation import SchemeTarget
from sockiter.verdict import KINDS

SCHEME_TARGETS: tuple[Target, ...] = tuple(SchemeTarget(scheme) for scheme in SCHEMES)
"""The project's own schemes, without installed packages. Every case is recorded on these."""
PLUGIN_TARGETS: tuple[Target, ...] = load_plugins({target.name for target in (*SCHEME_TARGETS, *KERNEL_TARGETS)})
"""The schemes of other packages. A case expects something of them only by name: its author may not know them."""
TARGETS: tuple[Target, ...] = (*SCHEME_TARGETS, *PLUGIN_TARGETS, *KERNEL_TARGETS)


def target_named(name: str) -> Target:
    """The target with that name; if there is none, an `InputError` with the most similar name, or with all names."""
    for target in TARGETS:
        if target.name == name:
            return target
    known = [target.name for target in TARGETS]
    raise InputError(f"no target is named {name!r}: {expected(close_to(name, known), known)}")


def scheme_of(target: Target) -> AnyScheme | None:
    """The scheme of a target; None for an iterator of the running kernel."""
    return target.scheme if isinstance(target, SchemeTarget) else None


def require_running(target: Target) -> Target:
    """This target; raises `Unavailable` if it does not run here."""
    if (missing := target.missing()) is not None:
        raise Unavailable(f"{target.name} does not run here: {missing}")
    return target


def close_to(word: str, known: Iterable[str]) -> str | None:
    """The one of the known names that a word may be a misspelling of."""
    return next(iter(get_close_matches(word, list(known), n=1)), None)


def about(case: Case, path: Path) -> Target | None:
    """The target that a case is about; None where neither its comment nor the name of its file says so.

    The comment says "found on TARGET", as the comment of a finding does. Otherwise the file is named TARGET-KIND..., as the
    file of a finding is.
    """
    known = {target.name: target for target in TARGETS}
    for word in re.findall(r"\bfound on (\S+)", " ".join(case.comment)):
        if (name := word.rstrip(".,:;")) in known:
            return known[name]
    kinds = "|".join(KINDS)
    named = [
        target
        for name, target in known.items()
        if re.match(rf"{re.escape(in_file_name(name))}(-({kinds})([-.]|$)|\.|$)", path.name)
    ]
    return max(named, key=lambda target: len(target.name), default=None)


def model_of(case: Case, target: Target) -> Target | None:
    """The scheme that stands in for an iterator of a kernel that does not run here; None where no scheme does.

    It is the first of these that can carry out the case: a scheme that the case expects this iterator to walk by; one that
    some kernel is known to use and that the case expects to fail; the only one that kernels are known to use.
    """
    assert isinstance(target, KernelTarget)
    failing = {expect.target for expect in case.expects}
    names = [
        *(expect.scheme for expect in case.expects if expect.target == target.name),
        *(scheme for scheme in target.schemes if scheme in failing),
        *(target.schemes if len(target.schemes) == 1 else ()),
    ]
    shape = shape_of(case.operations, slots=case.slots)
    models = [scheme for name in names for scheme in SCHEME_TARGETS if scheme.name == name]
    return next((model for model in models if refusal(model, case.operations, shape) is None), None)


# A similarity that counts as a misspelling, unless the word begins with the known name.
_LIKE = 0.8


def load_known(path: Path) -> Case:
    """Read a case as `cases.load`; raise `InputError` also for an impossible case, and for a misspelled target.

    A name is misspelled if it begins with `kernel:` and no target has it, or if it is similar to a known name. Any other
    unknown name may belong to a package that is not installed. The same holds for an unknown table in a case with such a
    name.
    """
    case, lines = load_with_lines(path)
    file = escaped(path)
    known = [target.name for target in TARGETS]
    schemes = [name for name in known if not name.startswith("kernel:")]
    foreign = False
    for expect, line in zip(case.expects, lines.expects, strict=True):
        for role, word, names in (("target", expect.target, known), ("scheme", expect.scheme or schemes[0], schemes)):
            if word not in names:
                foreign = True
                if (like := _meant(word, names)) or word.startswith("kernel:"):
                    raise InputError(f"{file}:{line}: no {role} is named {word!r}: {expected(like, names)}")
    tables = list(dict.fromkeys(table for target in TARGETS for table in target.tables if table))
    for operation, (line, *inside) in zip(case.operations, lines.operations, strict=True):
        parts = (
            [(operation, line)]
            if not isinstance(operation, Read)
            else [(at.what, n) for at, n in zip(operation.at, inside, strict=True)]
        )
        for change, at in parts:
            table = change.bucket.table if isinstance(change, (Add, Rehash)) else ""
            if table and table not in tables:
                like = _meant(table, tables)
                if like or not foreign:
                    raise InputError(f"{file}:{at}: no target has a table named {table!r}: {expected(like, tables)}")
                return case
    if all(_refusals(case, len(case.operations))):
        # The first operation that makes all targets refuse the case.
        nth = bisect_left(range(1, len(case.operations)), True, key=lambda count: all(_refusals(case, count)))
        why = "; ".join(reason.text for reason in _refusals(case, nth + 1) if reason is not None)
        line = lines.operations[nth][0]
        problem = "no target can carry out this case: expected a case that some target can carry out"
        raise InputError(f"{file}:{line}: {problem}: {why}")
    return case


def _refusals(case: Case, count: int) -> Iterable[Reason | None]:
    # The reason of each target that refuses the first `count` operations of a case.
    operations = case.operations[:count]
    shape = shape_of(operations, slots=case.slots)
    return (refusal(target, operations, shape) for target in TARGETS)


def _meant(word: str, known: list[str]) -> str | None:
    # A longer name is another name: variants of a scheme extend its name.
    like = get_close_matches(word, known, n=1, cutoff=_LIKE)
    return like[0] if like and not word.startswith(like[0]) else None


def expected(like: str | None, known: list[str]) -> str:
    """The end of a message about a name that is none: what it may have been meant for, or all names."""
    return f"did you mean {like!r}?" if like else f"expected one of {', '.join(known)}"
