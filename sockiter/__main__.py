"""`python -m sockiter`, and the program: the command line, be it interrupted before it is there."""

import sys


def run() -> None:
    """Import the command line and run it. A Ctrl-C meanwhile is an interrupt like any other."""
    try:
        from sockiter.watch import watched

        watched(_command)
    except KeyboardInterrupt:
        print("sockiter: interrupted", file=sys.stderr)
        sys.exit(130)


def _command() -> None:
    from sockiter.cli import main

    main(prog_name="sockiter")


if __name__ == "__main__":
    run()
