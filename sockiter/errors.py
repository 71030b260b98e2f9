"""The exceptions that users see, each with its exit status.

There are three kinds of trouble. Wrong input and a missing prerequisite are exceptions. A subject that misbehaves is no
exception but a `sockiter.verdict.Verdict`.
"""

from __future__ import annotations

from collections.abc import Mapping


class SockiterError(Exception):
    """An error that the user sees as one line instead of a traceback.

    `status` is the exit status; `details` are more fields of the error's JSON document.
    """

    status = 2
    details: Mapping[str, object] = {}


class InputError(SockiterError):
    """The input is wrong: the message names the file, the line, the offending value, and the expected value."""


class Unavailable(SockiterError):
    """A prerequisite is missing on this machine, or for this target on any machine: the message names the probe."""

    status = 3


class CannotJudge(SockiterError):
    """A kernel cannot be built, booted or tried: there is no verdict. `git bisect run` skips its commit."""

    status = 125


class Inconclusive(Unavailable):
    """This target or machine cannot carry out or cannot judge this sequence; other sequences may work."""


class TooBusy(Inconclusive):
    """The sequence timed out on a busy machine; a retry may succeed."""


class SchemeFault(Unavailable):
    """A scheme of another package makes a mistake: the message names its class, the method, and the field."""


class Unsearchable(TypeError):
    """A search cannot look into a scheme: the message names the scheme, or the value that has no canonical form."""


class Unsound(Unavailable, AssertionError):
    """A search reports a violation that does not happen: the scheme's canonical form merges different states.

    For a scheme of this project, that is a failed assertion.
    """
