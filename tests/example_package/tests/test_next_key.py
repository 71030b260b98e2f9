from next_key import NextKey

from sockiter.testing import SchemeTests


class TestNextKey(SchemeTests):
    scheme = NextKey()
