"""Other model checkers on the same schemes: Spin, TLC, minicheck and musil.

naive.pml and canonical.pml are for Spin, Walk.tla is for TLC, `successors` is for the two Python checkers. `programs`
installs and runs the checkers. `timed` runs the Python checkers, where Python is new enough for all of them.
"""
