"""The models are the kernel's likeness: the same random sequences, delivered alike at every read. `sockiter conform` does
the same ten thousand times."""

from __future__ import annotations

import os
from itertools import islice

import pytest

from sockiter.conformance import Conformance
from sockiter.kernel import KERNEL_TARGETS
from sockiter.kernel.target import KernelTarget
from sockiter.schemes import SCHEMES

SEQUENCES = 250
WITH_A_SCHEME = [target for target in KERNEL_TARGETS if target.schemes]


@pytest.mark.parametrize("target", WITH_A_SCHEME, ids=lambda target: target.name)
def test_a_kernels_iterator_delivers_what_its_scheme_does_at_every_read(target: KernelTarget) -> None:
    if lack := target.missing():
        (pytest.fail if os.environ.get("SOCKITER_REQUIRE_KERNEL") == "1" else pytest.skip)(lack)
    assert target.walks_by in target.schemes
    scheme = next(scheme for scheme in SCHEMES if scheme.name == target.walks_by)
    with target.session() as session:
        conformance = Conformance(target, session, scheme, records_max=target.records_max)
        for found in islice(conformance.differences("conformance", target.hazards), SEQUENCES):
            assert found is None, conformance.case(conformance.shrunk(found))
    assert conformance.compared.sequences == SEQUENCES
    assert conformance.compared.sockets > 16
    # A kernel whose functions cannot be watched leaves some out, but not most.
    assert conformance.compared.untold < SEQUENCES / 4
