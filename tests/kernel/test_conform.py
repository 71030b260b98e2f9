"""The model matches the kernel: the same random sequences give the same deliveries at every read."""

from __future__ import annotations

from pathlib import Path

import pytest

from sockiter.cases import dumps
from sockiter.claims import HAZARDS
from sockiter.conform import ComparisonCounts, ConformanceTrial
from sockiter.kernel import KERNEL_TARGETS
from sockiter.kernel.target import KernelTarget
from sockiter.schemes import SCHEMES

SCHEME = {scheme.name: scheme for scheme in SCHEMES}
# For these, so many times fewer: a removal waits for the kernel to end a namespace, or a thread.
SLOW = {"kernel:nsid": 10, "kernel:threads": 3}
EVERY_TARGET = pytest.mark.parametrize("kernel_target", KERNEL_TARGETS, ids=lambda target: target.name, indirect=True)


def compared(target: KernelTarget, sequences: int, cases: Path) -> ComparisonCounts:
    """Fails with the least case for the first difference."""
    assert target.detected_scheme is not None
    trial = ConformanceTrial(
        target, SCHEME[target.detected_scheme], seed="conformance", hazards=frozenset(HAZARDS), cases=cases
    )
    trial.run(sequences)
    if trial.kept:
        pytest.fail(dumps(trial.kept.case))
    return trial.counts


@EVERY_TARGET
def test_an_iterator_of_the_kernel_delivers_what_its_scheme_does_at_every_read(
    kernel_target: KernelTarget, tmp_path: Path
) -> None:
    sequences = 300 // SLOW.get(kernel_target.name, 1)
    found = compared(kernel_target, sequences, tmp_path)
    assert found.sequences == sequences
    assert found.operations > sequences * 4
    assert found.sockets > (40 if kernel_target.bucket_holds else 100)  # there were crowds
    # Most of the sequences are comparable.
    assert found.left_out < sequences


@pytest.mark.slow
@EVERY_TARGET
def test_it_does_so_in_many_sequences(kernel_target: KernelTarget, tmp_path: Path) -> None:
    sequences = 1_000 // SLOW.get(kernel_target.name, 1)
    assert compared(kernel_target, sequences, tmp_path).sequences == sequences
