"""The architecture: imports point down, the two blindnesses hold, and every module says what it decides."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sockiter

PACKAGE = Path(sockiter.__file__).parent

# From the lowest layer to the highest. A module may import those above it in this list, in its own row only to its left.
# The subpackages stand here as a whole; inside one the order is its own affair, as long as there is one.
LAYERS = (
    ("errors", "operations", "rights"),
    ("verdict",),
    ("claims", "history", "table"),
    ("backend",),
    ("oracle", "overlap", "schemes", "cases"),
    ("simulation", "kernel", "vm"),
    ("guard", "plugins", "targets"),
    ("trace", "explain", "replay", "edits", "simplify", "cost"),
    ("skeleton", "followed", "retell", "explore", "everything"),
    ("minimize", "shortest", "hunt", "swarm", "situations", "machine", "drivers", "workers", "campaign", "verify"),
    ("conform", "race"),
    ("report", "picture"),
    ("matrix", "cells", "matrix_page"),
    ("watch", "cli", "__main__"),
)
RANKS = {name: rank for rank, name in enumerate(name for row in LAYERS for name in row)}

MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in MODULES.items()}
EVERY_MODULE = pytest.mark.parametrize("module", MODULES)


def imports(module: str) -> set[str]:
    """The modules of this package that a module imports, wherever in it that stands."""
    found: set[str] = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            whole = node.module or ""
            # What is imported from a package is one of its modules, or else something of the package itself.
            found.update(name if (name := f"{whole}.{alias.name}") in MODULES else whole for alias in node.names)
    return {name for name in found if name.split(".")[0] == "sockiter"}


def part(module: str) -> str:
    """The name under which a module stands in `LAYERS`; "" for the package itself."""
    return module.split(".")[1] if "." in module else ""


def reached(module: str) -> set[str]:
    """Everything that a module imports, and that which those import in their turn."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        new = imports(todo.pop()) - seen
        seen |= new
        todo += new
    return seen


@EVERY_MODULE
def test_a_module_has_its_place_in_a_layer(module: str) -> None:
    assert part(module) in {*RANKS, ""}


def test_the_plan_of_the_house_names_every_module_and_nothing_else() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    plan = text.partition("## The plan of the house\n")[2].partition("An import points down")[0]
    names = [name.rstrip("/") for line in plan.splitlines() for name in line[7:26].partition("(")[0].split()]
    assert sorted(names) == sorted({*RANKS} - {"__main__"})


@EVERY_MODULE
def test_a_module_imports_only_modules_that_there_are(module: str) -> None:
    assert imports(module) <= set(MODULES)


@EVERY_MODULE
def test_an_import_points_down(module: str) -> None:
    own = part(module)
    up = {name for name in imports(module) if part(name) not in ("", own) and RANKS[part(name)] >= RANKS[own]}
    assert up == set()


def test_no_import_goes_round_in_a_circle() -> None:
    order = list(TopologicalSorter({module: imports(module) for module in MODULES}).static_order())
    assert sorted(order) == sorted(MODULES)


def test_the_package_itself_imports_nothing_of_it() -> None:
    assert imports("sockiter") == set()


def test_the_imports_that_are_checked_are_the_imports_that_there_are() -> None:
    assert imports("sockiter.oracle") == {"sockiter.history", "sockiter.operations", "sockiter.verdict"}
    assert {"sockiter.schemes.index", "sockiter.schemes.scheme"} <= imports("sockiter.schemes")
    assert {"sockiter.kernel.libc", "sockiter.kernel.btf"} <= imports("sockiter.kernel.bpf")
    assert "sockiter.claims" in reached("sockiter.targets") - imports("sockiter.targets")


def test_the_oracle_never_learns_what_a_table_or_a_scheme_is() -> None:
    assert {part(name) for name in reached("sockiter.oracle")} & {"table", "schemes", "backend", "simulation"} == set()


@pytest.mark.parametrize("module", [module for module in MODULES if part(module) == "schemes"])
def test_a_scheme_never_learns_of_histories_and_verdicts(module: str) -> None:
    assert {part(name) for name in reached(module)} & {"history", "oracle", "backend", "simulation"} == set()


@EVERY_MODULE
def test_no_module_is_a_drawer_for_odds_and_ends(module: str) -> None:
    assert set(module.split(".")) & {"utils", "util", "common", "helpers", "core", "manager"} == set()


@EVERY_MODULE
def test_a_module_says_what_it_decides(module: str) -> None:
    assert ast.get_docstring(TREES[module])
