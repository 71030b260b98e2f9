"""The two kinds of trouble that are nobody's verdict: wrong input, and a machine that lacks something.

Decided here: which errors a user may meet and the exit status each one means. The third kind of trouble, a subject that
misbehaves, is no error but a `sockiter.verdict.Verdict`. This module knows nothing of what was being done.
"""

from __future__ import annotations


class SockiterError(Exception):
    """Anything that is told to the user in one line instead of a traceback; `status` is the exit status it means."""

    status = 2


class InputError(SockiterError):
    """The input is wrong: the message names the file, the line, the offending value, and what was expected."""


class Unavailable(SockiterError):
    """A prerequisite is missing on this machine, or for this target on any machine: the message names the probe."""

    status = 3


class Inconclusive(Unavailable):
    """This target or machine cannot carry out or cannot judge this one sequence; it may do so with others."""


class TooBusy(Inconclusive):
    """The sequence timed out on a busy machine; another try may succeed."""


class SchemeFault(Unavailable):
    """A scheme of another package makes a mistake: the message names its class, the method, and the field."""


class Unsearchable(TypeError):
    """A search cannot look into a scheme: the message names the scheme, or the value that has no canonical form."""


class Unsound(Unavailable, AssertionError):
    """A search reports a violation that did not happen: the scheme's canonical form merges different states.

    For a scheme of this project that is a failed assertion.
    """
