"""Finds the interleavings in which an iterator over a changing hash table skips or repeats an element."""

__version__ = "0.1.0"
