"""Other kernels than the running one: their sources, and guests that run a command on them.

`packages` downloads Debian's kernels, and `build` makes a kernel with fault injection, both into the `cache`. `guest`
boots a kernel, with the KVM support that `acceleration` detects and the part of this machine that `view` shows. `worker`
does this in a process that cleans up even if its caller is killed. None of these modules depends on the command.
"""
