"""Fuzzing: random sequences of operations, and what becomes of the findings in them."""
