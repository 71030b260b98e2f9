"""The matrix of targets by hazards: its verdicts, the parallel computation of its cells, and its page."""
