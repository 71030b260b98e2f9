"""The explorer: every state of a small scope as a page, in which the reader picks the next operation."""
