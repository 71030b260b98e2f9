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


class MachineLacks(SockiterError):
    """The machine, or this target on any machine, lacks something: the message names what was probed or asked for."""

    status = 3


class Untold(MachineLacks):
    """What one sequence asks for, and others may not, the target or the machine cannot do, or cannot tell."""


class TooBusy(Untold):
    """The machine could not do or tell it this time, for want of time; another try may."""


class SchemeFault(MachineLacks):
    """A scheme of another package makes a mistake: the message names its class, the method, and the field."""


class Unsearchable(TypeError):
    """A search cannot look into a scheme: the message names the scheme, or the value that has no canonical form."""


class Unsound(MachineLacks, AssertionError):
    """A search reports a violation that did not happen: the scheme's canonical form merges unlike moments.

    For a scheme of this project that is a failed assertion.
    """
