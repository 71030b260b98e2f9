"""`sockiter new-scheme`: a package with a scheme, to start from.

Decided here: which files there are, how they are named, and that no file is overwritten. The files are written from
`templates/new_scheme`.
"""

from __future__ import annotations

import keyword
import sys
from importlib.util import find_spec
from pathlib import Path

import click
from jinja2 import Environment, PackageLoader, StrictUndefined

from sockiter.cli.subject import drop_unneeded_rights
from sockiter.errors import InputError, Unavailable
from sockiter.files import escaped, write_whole
from sockiter.plugins import name_fault
from sockiter.targets import TARGETS

# The template of each file, by its path.
_FILES = {
    "pyproject.toml": "pyproject.toml.jinja",
    "{module}.py": "scheme.py.jinja",
    "tests/test_{module}.py": "test_scheme.py.jinja",
    "README.md": "README.md.jinja",
}


@click.command("new-scheme")
@click.argument("name")
@click.argument("directory", required=False, type=click.Path(path_type=Path, file_okay=False), metavar="[DIRECTORY]")
def new_scheme(name: str, directory: Path | None) -> None:
    """Write a package with a small scheme NAME, its tests and a README, to start from.

    DIRECTORY is ./NAME unless given, and has to be new or empty. The package installs with pip beside sockiter, and its
    tests pass as they are. Comments that begin with CHANGE say what to change.
    """
    drop_unneeded_rights(())
    module = _module(name)
    directory = directory or Path(name)
    try:
        if directory.exists() and any(directory.iterdir()):
            raise InputError(f"{escaped(directory)}: not empty: expected a new or an empty directory")
        written = _write(directory, name, module)
    except OSError as error:
        raise Unavailable(f"{escaped(error.filename or directory)}: cannot be written: {error.strerror}") from None
    for path in written:
        click.echo(escaped(path))
    where = escaped(directory)
    click.echo(f"\nInstall it, and run its tests:\n  pip install -e '{where}[test]'\n  pytest {where}")


def _module(name: str) -> str:
    # The name of the module; raises InputError for a scheme's name that is none, or that no module can be named after.
    if reason := name_fault(name, {target.name for target in TARGETS}):
        raise InputError(f"{name!r}: {reason}")
    module = name.replace("-", "_").lower()
    if not (name.isascii() and module.isidentifier()) or keyword.iskeyword(module):
        raise InputError(f"{name!r}: no module can be named {module!r}: expected ASCII letters first, and no keyword")
    spec = None if module in sys.stdlib_module_names else find_spec(module)
    if module in sys.stdlib_module_names or (spec is not None and spec.origin is not None):
        raise InputError(f"{name!r}: another module is named {module!r}: expected the name of a new one")
    return module


def _write(directory: Path, name: str, module: str) -> list[Path]:
    environment = Environment(
        loader=PackageLoader("sockiter.cli"), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    values = {"name": name, "module": module, "scheme": "".join(word.capitalize() for word in module.split("_"))}
    paths = []
    for file, template in _FILES.items():
        path = directory / file.format(module=module)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, environment.get_template(f"new_scheme/{template}").render(values))
        paths.append(path)
    return paths
