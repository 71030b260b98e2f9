"""Ways to break sockiter, and what is counted afterwards: `tox -e faults`."""
