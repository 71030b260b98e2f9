"""Finds the interleavings in which an iterator over a changing hash table skips or repeats an element.

The names below are the Python interface, which docs/reference/python.md describes. Each is imported when it is first used:
`import sockiter` alone imports nothing else.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sockiter.api import (
        CheckResult,
        FuzzResult,
        check_scheme,
        dumps,
        fuzz_target,
        list_targets,
        load,
        loads,
        replay_case,
        save,
    )
    from sockiter.backend import Target
    from sockiter.cases import Case, Expect
    from sockiter.check.result import Counterexample, Scope, SearchResult
    from sockiter.claims import KnownFailure
    from sockiter.errors import Inconclusive, InputError, SockiterError, Unavailable
    from sockiter.fuzzing.triage import TriagedFinding
    from sockiter.replay import ReplayResult
    from sockiter.verdict import Finding
    from sockiter.version import __version__
else:
    # A type checker that saw these would accept any name.

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value: object = getattr(import_module(f"{__name__}.{_MODULES.get(name, 'api')}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "Case",
    "CheckResult",
    "Counterexample",
    "Expect",
    "Finding",
    "FuzzResult",
    "Inconclusive",
    "InputError",
    "KnownFailure",
    "ReplayResult",
    "Scope",
    "SearchResult",
    "SockiterError",
    "Target",
    "TriagedFinding",
    "Unavailable",
    "__version__",
    "check_scheme",
    "dumps",
    "fuzz_target",
    "list_targets",
    "load",
    "loads",
    "replay_case",
    "save",
]

# The modules that have them; all others are in `api`.
_MODULES = {
    "Case": "cases",
    "Counterexample": "check.result",
    "Expect": "cases",
    "Finding": "verdict",
    "Inconclusive": "errors",
    "InputError": "errors",
    "__version__": "version",
    "KnownFailure": "claims",
    "ReplayResult": "replay",
    "Scope": "check.result",
    "SearchResult": "check.result",
    "SockiterError": "errors",
    "Target": "backend",
    "TriagedFinding": "fuzzing.triage",
    "Unavailable": "errors",
}
