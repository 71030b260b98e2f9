"""Shrinking: from a failing sequence of operations to a simplest sequence with the same failure."""
