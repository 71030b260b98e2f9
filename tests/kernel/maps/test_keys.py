"""Keys of BPF hash maps: one for every number and bucket, as the kernel hashes it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sockiter.kernel.maps.keys import KEY_BYTES, bucket_of, key_of, number_of


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 32) - 1))
def test_a_key_tells_its_number_and_hashes_to_its_bucket(number: int, bucket: int) -> None:
    key = key_of(number, bucket)
    assert (len(key), number_of(key), bucket_of(key)) == (KEY_BYTES, number, bucket)


def test_the_hash_is_that_of_the_kernel() -> None:
    # jhash2() of three words 0 with the seed 0, by the definition in include/linux/jhash.h.
    assert bucket_of(bytes(12)) == _jhash2_of_zeros()


def _jhash2_of_zeros() -> int:
    def rotated(word: int, bits: int) -> int:
        return ((word << bits) | (word >> (32 - bits))) & 0xFFFFFFFF

    a = b = c = (0xDEADBEEF + (3 << 2)) & 0xFFFFFFFF
    c = ((c ^ b) - rotated(b, 14)) & 0xFFFFFFFF
    a = ((a ^ c) - rotated(c, 11)) & 0xFFFFFFFF
    b = ((b ^ a) - rotated(a, 25)) & 0xFFFFFFFF
    c = ((c ^ b) - rotated(b, 16)) & 0xFFFFFFFF
    a = ((a ^ c) - rotated(c, 4)) & 0xFFFFFFFF
    b = ((b ^ a) - rotated(a, 14)) & 0xFFFFFFFF
    return ((c ^ b) - rotated(b, 24)) & 0xFFFFFFFF
