"""A verdict on a kernel: whether its iterators keep the claims of the schemes that they are meant to have."""
