"""Shrinking: from a failing sequence of operations to a simplest one that fails in the same way."""
