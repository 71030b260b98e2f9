"""The regression corpus on real sockets: each of the kernel's iterators that can run a case gives the expected result."""

from __future__ import annotations

import pytest

from sockiter.cases import load
from sockiter.errors import Inconclusive
from sockiter.kernel.target import KernelTarget
from sockiter.replay import UNNAMED, incomparable, refused, replay
from sockiter.verdict import describe
from tests.support.paths import CASES

CORPUS = {path.stem: load(path) for path in sorted(CASES.glob("*.case"))}
# Schemes that the lines `expect kernel:... as SCHEME` were recorded with, on the kernels that walk by them.
RECORDED = {expect.scheme for case in CORPUS.values() for expect in case.expects if expect.target.startswith("kernel:")}


def test_a_case_comes_out_as_it_says_on_real_sockets(kernel_target: KernelTarget) -> None:
    target = kernel_target
    if target.detected_scheme not in RECORDED:
        pytest.skip(f"no case says what comes of it on a kernel that walks by {target.detected_scheme}")
    ran = 0
    with target.session() as session:
        for name, case in CORPUS.items():
            # The corpus is recorded on all of the kernel's targets: those that it does not name were fine.
            if refused(case, target) or incomparable(case, target) not in (None, UNNAMED):
                continue
            try:
                outcome = replay(case, target, session)
            except Inconclusive:
                continue
            ran += 1
            assert outcome.as_expected, f"{name}: {describe(outcome.verdict)}"
    assert ran > 10
