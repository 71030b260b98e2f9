"""`sockiter schema`: the JSON Schema of a command's document."""

from __future__ import annotations

import click

NAMES = (
    *(
        "fuzz",
        "check",
        "check-verify",
        "prove",
        "explore",
        "matrix",
        "replay",
        "show",
        "minimize",
        "conform",
        "race",
        "targets",
        "vm",
        "kernels",
    ),
    *("advise", "promise", "error"),
)
"""The files in `schemas/`."""


@click.command()
@click.argument("name", type=click.Choice(NAMES), metavar="NAME")
def schema(name: str) -> None:
    """Print the JSON Schema (draft 2020-12) of the document that a command prints with --json.

    NAME is a command, check-verify for `check --verify`, or error for the document of an error.
    """
    # Not before it is needed: every command imports this module.
    from importlib.resources import files

    click.echo((files("sockiter") / "schemas" / f"{name}.json").read_text(encoding="utf-8"), nl=False)
