"""The documents that commands print with `--json`, against their schemas: all fields, and no others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

import sockiter

FOLDER = Path(sockiter.__file__).parent / "schemas"
NAMES = tuple(sorted(path.stem for path in FOLDER.iterdir()))


def schema(name: str) -> Any:
    """A schema as it is installed, in which a reader may find unknown fields."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def strict(node: Any) -> Any:
    """A schema that refuses every field and every word that it does not list."""
    match node:
        case dict():
            closed = {key: strict(value) for key, value in node.items()}
            if "properties" in node:
                closed.setdefault("additionalProperties", False)
            if "examples" in node:
                closed["enum"] = closed.pop("examples")
            return closed
        case list():
            return [strict(part) for part in node]
        case _:
            return node


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(strict(schema(name)))


def validated(document: Any, name: str) -> Any:
    """This document; raises `jsonschema.ValidationError` if it does not follow the schema, or has unknown fields."""
    _validator(name).validate(document)
    return document


def schema_of(words: Sequence[str], document: Any) -> str:
    """The name of the schema for the output of a command with these words."""
    if set(document) - {"not_run"} == {"version", "error", "status"}:
        return "error"
    return "check-verify" if "--verify" in words else words[0]


def check_output(words: Sequence[str], stdout: str) -> None:
    """Validate the output of a command, if it had `--json` among its words and printed anything."""
    if "--json" in words and stdout:
        document = json.loads(stdout)
        validated(document, schema_of(words, document if isinstance(document, dict) else {}))
