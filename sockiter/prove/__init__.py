"""Proofs for any number of sockets: an inductive invariant of each scheme, checked by an SMT solver."""
