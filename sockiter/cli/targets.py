"""`sockiter targets`: all targets, their known failures, and whether each runs here."""

from __future__ import annotations

import click
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from sockiter.backend import Target
from sockiter.claims import HAZARDS, Hazard, in_order
from sockiter.cli.names import TARGET, expanded
from sockiter.cli.output import by_reason, console, known_failure_json, print_json
from sockiter.kernel.target import KernelTarget
from sockiter.readers import FEATURES
from sockiter.schemes.scheme import SUCCESSIONS
from sockiter.targets import TARGETS, target_named
from sockiter.verdict import VIOLATIONS


@click.command()
@click.argument("names", nargs=-1, type=TARGET, metavar="[TARGET...]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def targets(names: tuple[str, ...], *, as_json: bool) -> None:
    """List schemes and kernel iterators, a line each. Of those that are named: all hazards and known failures.

    A TARGET may be a pattern: 'kernel:*'.
    """
    chosen = [target_named(name) for name in expanded(names, [target.name for target in TARGETS])]
    if as_json:
        print_json([_json(target) for target in chosen or TARGETS])
    elif chosen:
        _print_each(console(), chosen)
    else:
        _print_all(console())


def _print_all(out: Console) -> None:
    rows = [("target", "here", "walks by", "failures", "what it is")]
    for target in TARGETS:
        runs = target.missing() is None
        failures = str(len(target.known_failures)) if runs else "?"
        rows.append((target.name, "yes" if runs else "no", _walks_by(target), failures, target.summary))
    widths = [max(len(row[nth]) for row in rows) for nth in range(3)]
    for nth, row in enumerate(rows):
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        line = Text("  ".join([*cells, f"{row[3]:>8}", row[4]]), style="" if nth else "bold")
        # A line each, whatever the width: a summary that is longer is cut.
        line.truncate(out.width, overflow="crop" if out.options.ascii_only else "ellipsis")
        out.print(line, soft_wrap=True)
    out.print()
    lacks = ((target.name, lack) for target in TARGETS if (lack := target.missing()) is not None)
    for lack, of in by_reason(lacks).items():
        out.print(f"Not here: {escape(of)}: {escape(lack)}")
    out.print("All hazards and known failures of a target: sockiter targets NAME", soft_wrap=True)
    out.print("Releases are mainline kernels. Stable branches and distributions differ by backports.", soft_wrap=True)
    out.print("The scheme of a kernel target is detected by trying; the version does not decide.", soft_wrap=True)


def _walks_by(target: Target) -> str:
    # A scheme walks by itself, and a kernel that could not be asked by nobody knows which.
    if target.missing() is not None:
        return "?" if target.is_real else ""
    return target.detected_scheme or ("none known" if target.is_real else "")


def _print_each(out: Console, chosen: list[Target]) -> None:
    for nth, target in enumerate(chosen):
        if nth:
            out.print()
        out.print(f"[bold]{escape(target.name)}[/bold]: {escape(target.summary)}", soft_wrap=True)
        missing = target.missing()
        lines = [("runs here", "yes" if missing is None else f"no: {missing}")]
        if target.is_real and missing is None:
            lines.append(("walks by", target.detected_scheme or "no scheme that is known"))
            lines += [(f"after {hazard}", _SUCCESSION[is_in_place]) for hazard, is_in_place in _successions(target).items()]
        lines.append(("hazards", ", ".join(in_order(target.hazards)) or "none"))
        unable = by_reason((hazard, target.unable[hazard]) for hazard in HAZARDS if hazard in target.unable)
        lines += [(f"not {of}", why) for why, of in unable.items()]
        lines.append(("features", ", ".join(_features(target)) or "none"))
        lacks = by_reason((feature, target.lacks[feature]) for feature in FEATURES if feature in target.lacks)
        lines += [(f"not {of}", why) for why, of in lacks.items()]
        if missing is not None:
            known = "not asked, since it does not run here"
        elif not target.known_failures:
            known = f"none: it claims no {', no '.join(VIOLATIONS)}"
        else:
            known = f"{len(target.known_failures)}; it claims to have no others"
        lines.append(("known failures", known))
        room = max(len(title) for title, _ in lines) + 1
        for title, value in lines:
            out.print(f"  {title + ':':<{room}} {escape(value)}", soft_wrap=True)
        for failure in target.known_failures if missing is None else ():
            out.print(f"    {failure}", soft_wrap=True)


_SUCCESSION = {
    True: "the successor takes its predecessor's place",
    False: "the successor goes to the head of its bucket",
}


def _successions(target: Target) -> dict[Hazard, bool]:
    # Of close and accept, where a kernel supports them: whether the successor takes its predecessor's place.
    if not isinstance(target, KernelTarget) or target.missing() is not None:
        return {}
    return {hazard: hazard in target.in_place for hazard in in_order(SUCCESSIONS & target.hazards)}


def _features(target: Target) -> list[str]:
    return [feature for feature in FEATURES if feature in target.features]


def _json(target: Target) -> dict[str, object]:
    missing = target.missing()
    successions = _successions(target)
    return {
        "target": target.name,
        "summary": target.summary,
        "hazards": in_order(target.hazards),
        "features": _features(target),
        "admits": [known_failure_json(failure) for failure in target.known_failures],
        "runs_here": missing is None,
        "missing": missing,
        "walks_by": target.detected_scheme,
        "in_place": [hazard for hazard, is_in_place in successions.items() if is_in_place] if successions else None,
    }
