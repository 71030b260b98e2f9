"""The architecture: imports point down, the two blindnesses hold, and every module has a docstring."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import TopologicalSorter
from itertools import takewhile
from pathlib import Path

import pytest

import sockiter

PACKAGE = Path(sockiter.__file__).parent

# From the lowest layer to the highest. A module may import those above it in this list, in its own row only to its left.
LAYERS = (
    ("errors", "files", "durations", "operations", "rights", "streams", "documents", "version"),
    ("verdict", "readers"),
    ("claims", "history", "table"),
    ("backend",),
    ("oracle", "schemes", "cases"),
    ("frames", "simulation", "kernel", "vm"),
    ("guard", "plugins", "targets"),
    ("replay", "workers", "shrink"),
    ("check",),
    ("prove",),
    ("fuzzing",),
    ("conform", "race"),
    ("report",),
    ("survey",),
    ("export",),
    ("matrix",),
    ("advice",),
    ("cluster",),
    ("api",),
    ("promise",),
    ("explore",),
    ("watch", "cli", "testing", "__main__"),
)
# The modules of a folder, from the lowest to the highest. Where a folder is not listed, no import goes round in a circle.
ORDERS = {
    "": tuple(name for row in LAYERS for name in row),
    "advice": ("risks", "measure", "advice", "compute", "page"),
    "check": (
        "result",
        "keys",
        "effects",
        "states",
        "transitions",
        "monitor",
        "fates",
        "edges",
        "counterexample",
        "histories",
        "search",
        "everything",
        "shortest",
        "merges",
        "differences",
        "verify",
        "trials",
    ),
    "cluster": ("wire", "member", "belief", "host", "task", "pool"),
    "explore": ("outlook", "graph", "page"),
    "export": ("forms", "instructions", "steps", "source", "selftest", "mail"),
    "frames": ("frame", "bpf_seq", "seq_file", "netlink", "loop"),
    "fuzzing": (
        *("limits", "sockets", "coverage", "swarm", "triage", "suggest", "violations"),
        *("machine", "drivers", "campaign", "counted"),
    ),
    "kernel": (
        *("libc", "namespace", "netlink", "diag", "bpf", "elements", "loops", "sockets", "peers", "maps", "dumps", "walks"),
        *("iteration", "identify", "probe", "target", "udp", "tcp", "unix", "packet", "nsid", "rhashtable", "bpf_map"),
        *("answering", "thread_process", "threads", "namespace_process", "listns", "tracker", "conntrack"),
    ),
    "kernel.bpf": ("assembly", "programs", "btf", "loader", "hash_map", "modes", "stops", "faults", "setup"),
    "kernel.maps": ("keys", "elements", "walks"),
    "kernel.sockets": ("base", "peer", "udp", "tcp", "unix", "packet", "netlink"),
    "matrix": ("matrix", "compute", "page"),
    "promise": ("promised", "observe", "verdict", "trial"),
    "prove": (
        *("logic", "relation", "environment", "ordered", "cookie_udp", "full_batch_held", "index", "key_order", "relations"),
        *("words", "result", "tie", "solver", "proof"),
    ),
    "race": ("judge", "sides", "race"),
    "report": ("trace", "explain", "table", "snapshots", "render", "picture", "page"),
    "testing": ("machines", "checks", "plugin"),
    "survey": ("survey", "table", "page"),
    "shrink": ("edits", "passes", "order", "minimize"),
}

MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in MODULES.items()}


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of this package that a module imports, wherever in it that stands."""
    found: set[str] = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            whole = node.module or ""
            # A name imported from a package is one of its modules, or else a name of the package itself.
            found.update(name if (name := f"{whole}.{alias.name}") in MODULES else whole for alias in node.names)
    return frozenset(name for name in found if name.split(".")[0] == "sockiter")


def part(module: str) -> str:
    """The module or the folder of `LAYERS` to which a module belongs; "" for the package itself."""
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


def points_down(importer: str, imported: str) -> bool:
    """Whether the folder that has both lists the imported module, or its folder, before the other one.

    A folder may import its modules. No module imports its own folder, but for the package itself.
    """
    ours, theirs = importer.split(".")[1:], imported.split(".")[1:]
    shared = sum(takewhile(bool, (own == other for own, other in zip(ours, theirs, strict=False))))
    if shared in (len(ours), len(theirs)):
        return not theirs or len(ours) < len(theirs)
    order = ORDERS.get(".".join(ours[:shared]))
    return order is None or order.index(theirs[shared]) < order.index(ours[shared])


def planned() -> list[str]:
    """The modules and folders that the plan in CONTRIBUTING.md names, as `ORDERS` has them."""
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    plan = text.partition("## The plan of the house\n")[2].partition("Imports point down")[0]
    names = []
    folders: list[str] = []
    for line in plan.splitlines():
        column = line[7:26].partition("(")[0].rstrip()
        del folders[(len(column) - len(column.lstrip())) // 2 :]
        words = [".".join([*folders, word.rstrip("/")]) for word in column.split()]
        names += words
        if column.endswith("/"):
            folders.append(words[-1].rpartition(".")[2])
    return names


@pytest.mark.parametrize("folder", ORDERS)
def test_the_order_of_a_folder_lists_its_modules_and_nothing_else(folder: str) -> None:
    above = "sockiter." + (folder and f"{folder}.")
    inside = {module.removeprefix(above).partition(".")[0] for module in MODULES if module.startswith(above)}
    assert sorted(ORDERS[folder]) == sorted(inside)


def test_the_plan_of_the_house_names_every_module_and_nothing_else() -> None:
    ordered = [".".join(filter(None, (folder, name))) for folder, order in ORDERS.items() for name in order]
    assert sorted(planned()) == sorted({*ordered} - {"__main__"})


def test_a_module_imports_only_modules_that_there_are() -> None:
    assert {(module, name) for module in MODULES for name in imports(module) - set(MODULES)} == set()


def test_an_import_points_down() -> None:
    assert {(module, name) for module in MODULES for name in imports(module) if not points_down(module, name)} == set()


@pytest.mark.parametrize(
    ("importer", "imported", "down"),
    [
        ("sockiter.oracle", "sockiter.verdict", True),
        ("sockiter.verdict", "sockiter.oracle", False),
        ("sockiter.oracle", "sockiter.oracle", False),
        ("sockiter.cli.fuzz", "sockiter.shrink.order", True),
        ("sockiter.shrink.order", "sockiter.cli.fuzz", False),
        ("sockiter.shrink.order", "sockiter.shrink.edits", True),
        ("sockiter.shrink.edits", "sockiter.shrink.order", False),
        ("sockiter.shrink", "sockiter.shrink.order", True),
        ("sockiter.shrink.order", "sockiter.shrink", False),
        ("sockiter.cli", "sockiter", True),
    ],
)
def test_the_order_separates_down_from_up(importer: str, imported: str, *, down: bool) -> None:
    assert points_down(importer, imported) == down


def test_no_import_goes_round_in_a_circle() -> None:
    order = list(TopologicalSorter({module: imports(module) for module in MODULES}).static_order())
    assert sorted(order) == sorted(MODULES)


def test_the_package_itself_imports_its_interface_and_that_only_for_type_checkers() -> None:
    assert "sockiter.api" in imports("sockiter")
    run = [node for node in TREES["sockiter"].body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert run == []


def test_the_imports_that_are_checked_are_the_imports_that_there_are() -> None:
    assert imports("sockiter.oracle") == {"sockiter.history", "sockiter.operations", "sockiter.verdict"}
    assert {"sockiter.schemes.index", "sockiter.schemes.scheme"} <= imports("sockiter.schemes")
    assert {"sockiter.kernel.libc", "sockiter.kernel.bpf.btf"} <= imports("sockiter.kernel.bpf.loader")
    assert "sockiter.claims" in reached("sockiter.targets") - imports("sockiter.targets")


def test_the_oracle_knows_neither_tables_nor_schemes() -> None:
    assert {part(name) for name in reached("sockiter.oracle")} & {"table", "schemes", "backend", "simulation"} == set()


def test_a_scheme_knows_neither_histories_nor_verdicts() -> None:
    unknown = {"history", "oracle", "backend", "simulation"}
    schemes = [module for module in MODULES if part(module) == "schemes"]
    assert len(schemes) > 10
    assert {(module, name) for module in schemes for name in reached(module) if part(name) in unknown} == set()


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "util", "common", "helpers", "core", "manager"}
    assert [module for module in MODULES if set(module.split(".")) & drawers] == []


def test_a_module_has_a_docstring() -> None:
    assert [module for module, tree in TREES.items() if not ast.get_docstring(tree)] == []
