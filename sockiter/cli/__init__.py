"""The command line: one file for each command, and here the exit statuses.

The exit statuses are those of `statuses`. A misspelled command is an error that names the similar one.
"""

from __future__ import annotations

import errno
import io
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from sockiter import documents
from sockiter.cli import statuses
from sockiter.cli.check import check
from sockiter.cli.completion import complete_colons
from sockiter.cli.conform import conform
from sockiter.cli.explore import explore
from sockiter.cli.fuzz import fuzz
from sockiter.cli.matrix import matrix
from sockiter.cli.minimize import minimize
from sockiter.cli.new_scheme import new_scheme
from sockiter.cli.output import note
from sockiter.cli.race import race
from sockiter.cli.replay import replay
from sockiter.cli.schema import schema
from sockiter.cli.show import show
from sockiter.cli.targets import targets
from sockiter.cli.vm import vm
from sockiter.errors import SockiterError, Unavailable
from sockiter.streams import discard
from sockiter.targets import close_to
from sockiter.version import __version__


class _Sockiter(click.Group):
    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        _escape_what_cannot_be_printed()
        complete_colons()
        documents.expect(sys.argv[1:] if args is None else args)
        return super().main(args, *rest, **options)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _usage_errors_as_documents():
            return super().make_context(*args, **options)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        # Click says so itself from 8.4 on.
        if self.get_command(ctx, args[0]) is None and (like := close_to(args[0], self.commands)) is not None:
            ctx.fail(f"no command is named {args[0]!r}: did you mean {like!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            _heed_ends()
            try:
                with _usage_errors_as_documents():
                    return super().invoke(ctx)
            finally:
                # A full disk is reported here. At the exit of the interpreter it would be too late.
                sys.stdout.flush()
        except SockiterError as error:
            sys.exit(_reported(str(error), error.status, error.details))
        except OSError as error:
            if error.errno == errno.EPIPE:
                discard(sys.stdout)
                sys.exit(statuses.OUTPUT_CLOSED)
            status = _reported(str(error), Unavailable.status)
            discard(sys.stdout)
            sys.exit(status)
        except KeyboardInterrupt:
            sys.exit(_reported("interrupted", statuses.INTERRUPTED))


def _reported(message: str, status: int, details: Mapping[str, object] | None = None) -> int:
    # An error, on standard error and as a document.
    note(message)
    documents.print_error(message, status, details)
    return status


@contextmanager
def _usage_errors_as_documents() -> Iterator[None]:
    # On standard error, click reports them itself.
    try:
        yield
    except click.ClickException as error:
        documents.print_error(error.format_message(), error.exit_code)
        raise


def _escape_what_cannot_be_printed() -> None:
    # The encoding of the terminal may lack letters of a name.
    for out in (sys.stdout, sys.stderr):
        if isinstance(out, io.TextIOWrapper) and out.errors == "strict":
            out.reconfigure(errors="backslashreplace")


def _heed_ends() -> None:
    # Signals that end a process become an interrupt, so that findings are reported and saved. A signal that the caller
    # ignores, such as nohup, stays ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    # Only the first signal counts: a terminal that hangs up or a shutdown may send both in a row, and so does the parent of
    # a watched command if the whole group was interrupted. A second Ctrl-C interrupts again.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


@click.group(cls=_Sockiter, context_settings={"help_option_names": ["-h", "--help"]}, epilog=statuses.described(None))
@click.version_option(__version__, prog_name="sockiter")
def main() -> None:
    """Find the interleavings in which an iterator over a changing hash table skips or repeats an element."""


for command in (fuzz, check, explore, matrix, replay, show, minimize, conform, race, targets, vm, schema, new_scheme):
    command.epilog = statuses.described(command.name)
    main.add_command(command)
