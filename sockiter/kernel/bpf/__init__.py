"""BPF: the programs that iterate and that stop reads, their loader, and refused allocations."""
