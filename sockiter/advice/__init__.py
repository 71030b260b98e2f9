"""Advice for programs that list or destroy sockets: the risks of each way to read, proved on models and measured on kernels."""
