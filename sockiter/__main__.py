"""`python -m sockiter`: the command line."""

from sockiter.cli import main

if __name__ == "__main__":
    main(prog_name="sockiter")
