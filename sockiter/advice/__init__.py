"""Advice for programs that list or destroy sockets: the risks of each way to read, and the way to prefer."""
