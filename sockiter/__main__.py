"""`python -m sockiter`, and the program: the command line, be it interrupted before it is there.

Decided here: the order. The standard streams are complete before anything is imported that opens a file. Under sudo, nothing
more is imported before this process is the user's who called it: an import runs code of other packages.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NoReturn

from sockiter import streams
from sockiter.errors import SockiterError, Unavailable


def run() -> None:
    """Import the command line and run it. A Ctrl-C meanwhile is an interrupt like any other."""
    streams.complete()
    try:
        from sockiter import rights

        user = rights.settle(os.environ)
        with _readable_by(user):
            from sockiter.watch import watched
        watched(partial(_command, user))
    except KeyboardInterrupt:
        _end("interrupted", 130)
    except SockiterError as error:
        _end(str(error), error.status)
    finally:
        # CPython remembers an interrupt inside `exec(text)`, which is how a dataclass is made.
        # It would end by SIGINT, whatever the exit status is. Another exec makes it forget.
        exec("")


def _command(user: int | None) -> None:
    with _readable_by(user):
        from sockiter.cli import main
    main(prog_name="sockiter")


@contextmanager
def _readable_by(user: int | None) -> Iterator[None]:
    try:
        yield
    except (ImportError, OSError) as error:
        if user is None:
            raise
        _end(f"user {user}, who called sudo, cannot read what it takes: {error}", Unavailable.status)


def _end(why: str, status: int) -> NoReturn:
    print(f"sockiter: {why}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    run()
