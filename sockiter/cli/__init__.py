"""The command line: one file for each command, and here the exit statuses.

The exit statuses are those of `statuses`. A misspelled command is an error that names the similar one. A command's module is
imported when the command is run: most commands need neither Hypothesis nor templates, whose imports are slow.
"""

from __future__ import annotations

import errno
import io
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any

import click

from sockiter import documents
from sockiter.cli import statuses
from sockiter.cli.completion import complete_colons
from sockiter.cli.output import note
from sockiter.errors import SockiterError, Unavailable
from sockiter.streams import discard
from sockiter.version import __version__

# Each is an attribute of the module with its name.
COMMANDS = (
    *("advise", "check", "conform", "explore", "export", "fuzz", "kernels", "matrix", "minimize", "new-scheme"),
    *("promise", "prove", "race", "replay", "schema", "show", "targets", "vm"),
)


class _Sockiter(click.Group):
    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        _escape_what_cannot_be_printed()
        complete_colons()
        documents.expect(sys.argv[1:] if args is None else args)
        return super().main(args, *rest, **options)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _usage_errors_as_documents():
            return super().make_context(*args, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"{__name__}.{name}"), name)
        command.epilog = statuses.described(cmd_name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        # Click says so itself from 8.4 on.
        if args[0] not in COMMANDS:
            from sockiter.targets import close_to

            if (like := close_to(args[0], COMMANDS)) is not None:
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
            message = f"standard output: {error.strerror}" if _is_of_output(error) else str(error)
            status = _reported(message, Unavailable.status)
            discard(sys.stdout)
            sys.exit(status)
        except KeyboardInterrupt:
            sys.exit(_reported("interrupted", statuses.INTERRUPTED))


def _is_of_output(error: OSError) -> bool:
    # Whether writing to standard output failed. A buffer still has what could not be written, which then fails again.
    try:
        sys.stdout.flush()
    except OSError as again:
        return again.errno == error.errno
    return False


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
        match error:
            case click.NoSuchOption():
                known: click.ClickException = _option_of_others(error)
            case click.BadParameter():
                known = _with_range(error)
            case _:
                known = error
        documents.print_error(known.format_message(), known.exit_code)
        raise known from None


def _option_of_others(error: click.NoSuchOption) -> click.UsageError:
    # An option of other commands is no misspelling.
    ctx = click.Context(main)
    commands = [(name, main.get_command(ctx, name)) for name in main.list_commands(ctx)]
    names = [name for name, of in commands if of and any(error.option_name in parameter.opts for parameter in of.params)]
    if not names:
        return error
    return click.UsageError(f"No such option {error.option_name!r}: it is an option of {', '.join(names)}.", error.ctx)


def _with_range(error: click.BadParameter) -> click.BadParameter:
    # Click names the range for a number that is outside, but not for a word that is no number.
    kind = error.param.type if error.param is not None else None
    if not isinstance(kind, (click.IntRange, click.FloatRange)):
        return error
    number = "an integer" if isinstance(kind, click.IntRange) else "a number"
    ends = [f"above {kind.min}" if kind.min_open else f"at least {kind.min}"] if kind.min is not None else []
    ends += [f"at most {kind.max}"] if kind.max is not None else []
    message = error.message.replace(f"a valid {kind.name}.", f"{number}: expected {number}, {' and '.join(ends)}.")
    return click.BadParameter(message, error.ctx, error.param, error.param_hint)


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
