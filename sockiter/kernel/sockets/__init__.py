"""Real sockets: how each kind gets into a table, to which place in it, and out of it again."""
