"""What an engineer would use instead, on the same schemes: Spin, TLC, minicheck and musil.

naive.pml and canonical.pml are for Spin, Walk.tla is for TLC, `successors` is for the two that are written in Python;
`programs` installs and runs them, and `timed` is run where Python is new enough for all of them.
"""
