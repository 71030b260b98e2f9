"""The elements of BPF hash maps, and the loops of user space over them."""
