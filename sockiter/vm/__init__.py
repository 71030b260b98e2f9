"""Other kernels than the running one: where they come from, and a command in a guest on each.

Decided here: nothing; each module in here knows about one thing. `packages` gets Debian's kernels and `build` makes one with
fault injection, both into the `cache`; `guest` boots one, with what `acceleration` says of KVM and what `view` shows of this
machine; `worker` does either in a process that cleans up behind itself even when its caller is killed. None of them knows
what the command is for.
"""
