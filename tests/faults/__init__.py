"""Faults that are injected into sockiter, and a count of the losses: `tox -e faults`."""
