"""BPF: the programs that iterate and that stop reads, how they are loaded, and refused allocations."""
