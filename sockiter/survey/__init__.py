"""Surveys of kernels: what is found out about one that runs, and how several compare."""
