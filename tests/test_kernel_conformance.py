"""The model is the kernel's likeness: the same random sequences, delivered alike at every read."""

from __future__ import annotations

from sockiter.backend import Session, run
from sockiter.kernel.udp import KernelUdp
from sockiter.operations import Add, Open, Read, Remove
from sockiter.schemes.cookie_udp import CookieUdp
from sockiter.schemes.offset_udp import OffsetUdp
from sockiter.simulation import SchemeTarget
from sockiter.swarm import Room, Swarm

SEQUENCES = 1_500


def likeness(session: Session, kernel: KernelUdp) -> SchemeTarget:
    """The scheme that the running kernel is said to have, told by what it makes of the RFC's skip."""
    operations = (Add("A", "tail"), Add("B", "tail"), Open(), Read(1), Remove("A"), Read(1))
    remembers = run(session, kernel, operations).reads[-1].delivered == ("B",)
    return SchemeTarget(CookieUdp() if remembers else OffsetUdp())


def test_the_kernels_udp_iterator_delivers_what_its_scheme_does_at_every_read(kernel_udp: KernelUdp) -> None:
    swarm = Swarm("conformance", kernel_udp.hazards, Room.of(kernel_udp))
    with kernel_udp.session() as session:
        model = likeness(session, kernel_udp)
        grown = 0
        for _ in range(SEQUENCES):
            operations, slots = swarm.sequence()
            real = run(session, kernel_udp, operations, slots=slots)
            assert run(model, model, operations, slots=slots) == real, operations
            grown += len(real.opened) > slots
    assert grown > SEQUENCES / 50  # batches had to grow
