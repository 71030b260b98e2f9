"""Exhaustive search: every interleaving in a scope, the shortest counterexample first."""
