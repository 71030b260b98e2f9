"""Keys of a BPF hash map, each for a given bucket.

The kernel hashes a key of 12 bytes by jhash2 (include/linux/jhash.h), which mixes three words in ways that can all be
undone. A map with BPF_F_ZERO_SEED has a known seed. So the key for a given hash is computed, and not searched for.
"""

from __future__ import annotations

import struct

KEY_BYTES = 12
_WORDS = struct.Struct("=III")
# The beginning of each word of the mix: JHASH_INITVAL, and the length of a key in bytes.
_INITIAL = 0xDEADBEEF + KEY_BYTES
_MASK = 0xFFFFFFFF
# The steps of the mix. In each, the first word becomes (first ^ second) - (second rotated by so many bits).
_STEPS = ((2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24))


def key_of(number: int, bucket: int) -> bytes:
    """The key of the element with this number, which is below 2**64, in this bucket."""
    words = [number & _MASK, number >> 32, bucket]
    for changed, other, bits in reversed(_STEPS):
        words[changed] = (words[changed] + _rotated(words[other], bits) & _MASK) ^ words[other]
    return _WORDS.pack(*[word - _INITIAL & _MASK for word in words])


def number_of(key: bytes) -> int:
    """The number of the element with this key."""
    low, high, _ = _mixed(key)
    return high << 32 | low


def bucket_of(key: bytes) -> int:
    """The hash of a key, as the kernel computes it: its bucket, for a key of `key_of`."""
    return _mixed(key)[2]


def _mixed(key: bytes) -> list[int]:
    words = [word + _INITIAL & _MASK for word in _WORDS.unpack(key)]
    for changed, other, bits in _STEPS:
        words[changed] = (words[changed] ^ words[other]) - _rotated(words[other], bits) & _MASK
    return words


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> 32 - bits) & _MASK
