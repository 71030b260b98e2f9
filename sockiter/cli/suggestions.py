"""`sockiter fuzz --suggest`: the known failures to declare for what broke a claim, as text and as JSON.

A kernel's iterator has the known failures of the scheme that it was detected to use; there is nothing to declare for it.
"""

from __future__ import annotations

import click

from sockiter.claims import KnownFailure
from sockiter.cli.fuzz_summary import targets_of, tracks_on
from sockiter.fuzzing.counted import AnyCampaign
from sockiter.fuzzing.suggest import declaration, suggested
from sockiter.targets import scheme_of


def print_suggestions(campaign: AnyCampaign) -> None:
    """Print the lines to paste, by scheme."""
    suggestions = _suggestions(campaign)
    if not suggestions:
        click.echo("\nNothing to declare: no scheme broke a claim.")
    for name, failures in suggestions.items():
        click.echo(f"\nFor `known_failures` of {name}, with `from sockiter.claims import known_failure`:\n")
        for failure in failures:
            click.echo(f"        {declaration(failure)},")


def suggestions_json(campaign: AnyCampaign) -> dict[str, list[str]]:
    """The same as the field `suggested` of the document: by scheme, the declarations."""
    return {name: list(map(declaration, failures)) for name, failures in _suggestions(campaign).items()}


def _suggestions(campaign: AnyCampaign) -> dict[str, tuple[KnownFailure, ...]]:
    suggestions = {}
    for target in targets_of(campaign):
        kept = [kept for track in tracks_on(campaign, target) for kept in track.kept]
        broken = [one.found for one in kept if one.found.known_failure is None]
        if broken and (scheme := scheme_of(target)) is not None and not target.is_real:
            suggestions[target.name] = suggested(scheme, broken)
    return suggestions
