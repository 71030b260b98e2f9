"""C programs on the running kernel: each compiles without a warning and says what `replay` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from sockiter.backend import refusal, shape_of
from sockiter.cases import Case, load
from sockiter.errors import Inconclusive, Unavailable
from sockiter.export.forms import FORMS
from sockiter.export.source import c_program
from sockiter.fuzzing.limits import Room
from sockiter.fuzzing.swarm import Swarm
from sockiter.kernel import KERNEL_TARGETS
from sockiter.kernel.target import KernelSession, KernelTarget
from sockiter.operations import Read
from sockiter.replay import refused, replay
from sockiter.targets import target_named
from tests.export.programs import MIXED, case_of
from tests.support.kernel_targets import here
from tests.support.paths import CASES
from tests.support.programs import FLAGS, compiled, compilers, outcome

FAST = ("-O0", *FLAGS[1:])
SEQUENCES = 15
with_a_form = pytest.mark.parametrize(
    "kernel_target",
    [target for target in KERNEL_TARGETS if target.name in FORMS],
    indirect=True,
    ids=lambda target: target.name,
)


def check_agrees(
    case: Case, target: KernelTarget, session: KernelSession, path: Path, *, compiler: str, flags: tuple[str, ...]
) -> None:
    """Fails if the program says something else than `replay`."""
    program = compiled(c_program(case, target, path.name, in_place=target.in_place), path, compiler=compiler, flags=flags)
    found, status = outcome(program)
    try:
        expected = {(finding.kind, finding.socket) for finding in replay(case, target, session).verdict}
    except Inconclusive:
        assert status == 4
        return
    assert found == expected, path.name
    assert status == (4 if ("incomplete", None) in expected else 1 if expected - {("refused", None)} else 0)


@pytest.fixture(params=MIXED, ids=lambda mixed: f"{mixed[0]}-{len(mixed[1])}")
def mixed(request: pytest.FixtureRequest) -> tuple[KernelTarget, Case]:
    """A target that runs here, and a case with all of its operations; skipped where this kernel lacks one."""
    name, text = request.param
    target = target_named(name)
    assert isinstance(target, KernelTarget)
    case = case_of(text)
    if why := refusal(here(target), case.operations, shape_of(case.operations)):
        pytest.skip(why.text)
    return target, case


@pytest.mark.kernel
def test_a_program_with_all_operations_of_a_target_says_what_replay_says(
    mixed: tuple[KernelTarget, Case], tmp_path: Path
) -> None:
    # By the compilers in turns: half of the time.
    target, case = mixed
    compiler = compilers()[len(case.operations) % len(compilers())]
    with target.session() as session:
        check_agrees(case, target, session, tmp_path / compiler, compiler=compiler, flags=FLAGS)


@pytest.mark.slow
@pytest.mark.unmeasured
@pytest.mark.kernel
def test_a_program_with_all_operations_of_a_target_compiles_by_each_compiler(
    mixed: tuple[KernelTarget, Case], tmp_path: Path
) -> None:
    target, case = mixed
    with target.session() as session:
        for compiler in compilers():
            check_agrees(case, target, session, tmp_path / compiler, compiler=compiler, flags=FLAGS)


@pytest.mark.slow
@pytest.mark.unmeasured
@with_a_form
def test_a_program_of_each_case_of_the_corpus_says_what_replay_says(kernel_target: KernelTarget, tmp_path: Path) -> None:
    ran = 0
    with kernel_target.session() as session:
        for path in sorted(CASES.glob("*.case")):
            case = load(path)
            try:
                c_program(case, kernel_target, path.stem)
            except Unavailable as refusal_in_c:
                stops = [at for op in case.operations if isinstance(op, Read) for at in op.at]
                is_known = any(at.point == "realloc" for at in stops) or "no C form yet" in str(refusal_in_c)
                assert is_known or refused(case, kernel_target)
                continue
            if refused(case, kernel_target):
                continue
            compiler = compilers()[ran % len(compilers())]
            check_agrees(case, kernel_target, session, tmp_path / path.stem, compiler=compiler, flags=FLAGS)
            ran += 1
    assert ran > 5


@pytest.mark.slow
@pytest.mark.unmeasured
@with_a_form
def test_a_program_of_a_random_sequence_says_what_replay_says(kernel_target: KernelTarget, tmp_path: Path) -> None:
    compiler = compilers()[0]
    swarm = Swarm(1, kernel_target.hazards - {"realloc", "enomem"}, Room.of(kernel_target))
    with kernel_target.session() as session:
        for nth in range(SEQUENCES):
            case = Case(*swarm.sequence())
            try:
                check_agrees(case, kernel_target, session, tmp_path / f"nth{nth}", compiler=compiler, flags=FAST)
            except Unavailable:
                continue
