"""Entry point of `python -m sockiter` and of the `sockiter` program.

The order of the steps matters. The standard streams are completed before an import can open a file. Under sudo, the
process drops to the calling user's rights before it imports more: imports run code of other packages.
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
    """Import the command line and run it. Ctrl-C during the imports is an ordinary interrupt."""
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
        # CPython remembers an interrupt inside `exec(text)`, which creates dataclasses. The process would then end by
        # SIGINT,
        # whatever its exit status. Another exec clears that memory.
        exec("")


def _command(user: int | None) -> None:
    with _readable_by(user):
        from sockiter.cli import main

        # It imports the module of the command.
        main(prog_name="sockiter")


@contextmanager
def _readable_by(user: int | None) -> Iterator[None]:
    try:
        yield
    except (ImportError, OSError) as error:
        if user is None:
            raise
        _end(f"user {user}, who called sudo, cannot read a file that sockiter needs: {error}", Unavailable.status)


def _end(why: str, status: int) -> NoReturn:
    from sockiter import documents

    print(f"sockiter: {why}", file=sys.stderr)
    documents.print_error(why, status)
    sys.exit(status)


if __name__ == "__main__":
    run()
