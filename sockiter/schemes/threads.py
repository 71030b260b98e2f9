"""`threads`: the BPF iterator over the threads of a process keeps the id of the next thread, or at the end of the last one.

Models task_group_seq_get_next, task_seq_start and task_seq_next of kernel/bpf/task_iter.c, Linux 6.1 to 7.1, in an iterator
that is linked to a process (`task.pid`). A read that stops has stepped on to the next thread. If that thread is gone by the
next read, the walk is over: all other threads are skipped. A thread that exits while it is shown ends the walk, too. New
threads come last. The leader of the process is no element here: the program leaves it out, and it stays as long as the
process does.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from sockiter.claims import Hazard, known_failure
from sockiter.schemes.scheme import ONE_TABLE, Done, Show, by_position
from sockiter.schemes.versions import mainline
from sockiter.table import Socket, Table


class State(NamedTuple):
    """`thread`: the last one (None: the leader of the process), or the next one if it `is_next`."""

    thread: str | None = None
    is_next: bool = False


class Showing(NamedTuple):
    """`socket` is about to be shown."""

    socket: Socket

    @property
    def waits_for(self) -> Show:
        return Show(self.socket)


Step: TypeAlias = Showing | Done[State]


class Threads:
    """Claims: no repeat, no stale thread, always an end, no error; no skip without a removal."""

    name = "threads"
    summary = f"id of the next thread ({mainline('threads')})"
    progress = "Next"
    hazards: frozenset[Hazard] = frozenset({"add-tail", "remove", "show"})
    tables = ONE_TABLE
    buckets_max = 1
    known_failures = (known_failure("skip", "remove"),)

    def open(self, slots: int, table: Table) -> State:
        return State()

    def begin(self, state: State, table: Table) -> Step:
        thread, is_next = state
        if thread is None:
            return _behind(None, -1, table)
        if not table.has(thread):
            return Done(state)
        position = table.where(thread)[1]
        return Showing(table.buckets[0][position]) if is_next else _behind(thread, position, table)

    def resume(self, waiting: Showing, granted: bool, table: Table) -> Step:
        thread = waiting.socket.name
        if not granted:
            return Done(State(thread, is_next=True))
        if not table.has(thread):
            return Done(State(thread))
        return _behind(thread, table.where(thread)[1], table)

    canonical = staticmethod(by_position)

    def place(self, state: State) -> str:
        return state.thread if state.is_next and state.thread is not None else f"behind {state.thread or 'the leader'}"


def _behind(thread: str | None, position: int, table: Table) -> Step:
    # The next thread behind a position in the only list.
    rest = table.buckets[0][position + 1 :]
    return Showing(rest[0]) if rest else Done(State(thread))
