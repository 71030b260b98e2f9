"""Frames: how the calls of a reader become steps of a walk.

A scheme names its frame. Schemes that name none are walked by a BPF iterator.
"""

from __future__ import annotations

from sockiter.frames.bpf_seq import BpfSeq
from sockiter.frames.frame import Frame
from sockiter.frames.loop import Loop
from sockiter.frames.netlink import Netlink
from sockiter.frames.seq_file import SeqFile
from sockiter.readers import Reader
from sockiter.schemes.scheme import AnyScheme, frame_name

FRAMES: dict[str, type[Frame]] = {"bpf_seq": BpfSeq, "seq_file": SeqFile, "netlink": Netlink, "loop": Loop}
"""All frames, by the names that schemes use."""


def frame_of(scheme: AnyScheme) -> type[Frame]:
    """The frame of a scheme."""
    return FRAMES[frame_name(scheme)]


def reads(scheme: AnyScheme, reader: Reader) -> bool:
    """Whether user space can read in this way through the frame of a scheme."""
    return reader.is_offered(frame_of(scheme).features, destroys="destroying" in scheme.hazards)
