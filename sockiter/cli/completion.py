"""Completion of the command line by bash, zsh and fish, which is Click's own, for names with a colon too.

Decided here: what becomes of a word that bash has split. Not known here: which names there are.
"""

from __future__ import annotations

from typing import Any

from click.shell_completion import BashComplete, CompletionItem, add_completion_class


class _BashWithColons(BashComplete):
    # bash ends a word at a colon, in front of which it completes nothing: of `kernel:u` it has `kernel`, `:` and `u`, and
    # replaces the `u`.

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._prefix = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        words: list[str] = []
        is_open = False
        for word in [*args, incomplete]:
            if words and (word == ":" or is_open):
                words[-1] += word
            else:
                words.append(word)
            is_open = word == ":"
        *args, whole = words
        self._prefix = whole.removesuffix(incomplete) if incomplete != ":" else whole
        return args, whole

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value.removeprefix(self._prefix)}"


def complete_colons() -> None:
    """Have names with a colon completed in bash, from now on."""
    add_completion_class(_BashWithColons, "bash")
