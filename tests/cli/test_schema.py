"""The schemas of the JSON documents: complete, described, and valid for the output of the commands."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
from jsonschema import Draft202012Validator, ValidationError

from sockiter import __main__, documents
from sockiter.claims import HAZARDS
from sockiter.cli.schema import NAMES as LISTED
from sockiter.cli.targets import targets as targets_command
from sockiter.errors import InputError
from sockiter.verdict import KINDS
from tests.support.command import commands, sockiter
from tests.support.paths import CASES
from tests.support.schemas import NAMES, schema, strict, validated

RFC_SKIP = CASES / "rfc_skip.case"
SMALL = ("--sockets", "2", "--buckets", "1", "--ops", "5", "--workers", "1")

pytestmark = pytest.mark.usefixtures("on_any_machine")

every_schema = pytest.mark.parametrize("name", NAMES)


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON document."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from nodes(part)


def fields(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields of all objects of a document, each with its schema."""
    for node in nodes(schema(name)):
        if isinstance(node.get("properties"), dict):
            yield from node["properties"].items()


# The files.


def test_every_command_with_a_document_has_a_schema_and_nothing_else_has() -> None:
    with_json = {
        name for name, command in commands().items() if any("--json" in parameter.opts for parameter in command.params)
    }
    assert set(NAMES) == with_json | {"check-verify", "error"} == set(LISTED)


@every_schema
def test_the_schema_command_prints_a_valid_schema_of_the_draft(name: str) -> None:
    result = sockiter("schema", name)
    assert (result.exit_code, result.stderr) == (0, "")
    printed = json.loads(result.stdout)
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert printed["$id"] == f"urn:sockiter:{name}:{documents.VERSION}"
    Draft202012Validator.check_schema(printed)


def test_an_unknown_schema_is_wrong_usage_and_the_known_ones_are_listed() -> None:
    result = sockiter("schema", "nonsense")
    assert result.exit_code == 2
    assert all(f"'{name}'" in result.stderr for name in NAMES)


@every_schema
def test_every_field_and_every_object_has_a_description(name: str) -> None:
    assert [field for field, about in fields(name) if not about.get("description", "").endswith(".")] == []
    assert [node for node in nodes(schema(name)) if "properties" in node and "description" not in node] == []


@every_schema
def test_every_duration_has_its_unit_in_its_description(name: str) -> None:
    durations = [about["description"] for field, about in fields(name) if "seconds" in field or field == "found_by"]
    assert all("in seconds" in description for description in durations)


@every_schema
def test_a_definition_of_one_name_is_the_same_in_all_schemas_that_share_it(name: str) -> None:
    shared = {"hazard", "kind", "finding", "known_failure", "scope", "absent"}
    definitions = {other: schema(other).get("$defs", {}) for other in NAMES}
    for definition in shared & definitions[name].keys():
        assert all(of[definition] == definitions[name][definition] for of in definitions.values() if definition in of), (
            definition
        )


@every_schema
def test_the_words_of_a_schema_are_those_that_there_are(name: str) -> None:
    definitions = schema(name).get("$defs", {})
    for definition, words in (("hazard", HAZARDS), ("kind", KINDS)):
        if definition in definitions:
            assert definitions[definition]["examples"] == list(words)


# Readers and tests.


def test_a_reader_accepts_a_field_that_the_schema_does_not_know_and_the_tests_do_not() -> None:
    document = {"version": 1, "error": "no", "status": 2, "new": True}
    Draft202012Validator(schema("error")).validate(document)
    with pytest.raises(ValidationError, match="'new' was unexpected"):
        validated(document, "error")


def test_a_word_that_a_schema_does_not_list_is_for_readers_only() -> None:
    described = {"type": "string", "examples": ["skip"]}
    Draft202012Validator(described).validate("jump")
    with pytest.raises(ValidationError):
        Draft202012Validator(strict(described)).validate("jump")


# The documents. `tests.support.command.sockiter` validates those of all other tests too: of fuzz, race, conform, --verify.


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("targets", "--json"), "targets"),
        (("replay", RFC_SKIP, CASES / "rfc_repeat.case", CASES / "line_by_line.case", "--json"), "replay"),
        (("show", RFC_SKIP, "--json"), "show"),
        (("minimize", RFC_SKIP, "--json"), "minimize"),
        (("check", "offset-udp", *SMALL, "--json"), "check"),
        (("check", "offset-udp", *SMALL, "--hazard", "remove", "--json"), "check"),
        (("explore", "offset-udp", "--sockets", 1, "--json"), "explore"),
        (("matrix", "offset-udp", *SMALL, "--json"), "matrix"),
    ],
)
def test_a_document_follows_its_schema(words: tuple[object, ...], name: str) -> None:
    document = json.loads(sockiter(*words).stdout)
    assert document
    validated(document, name)


def test_a_new_field_in_a_document_fails_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("sockiter.cli.targets"), "_json", lambda target: {"target": target.name, "new": 1})
    with pytest.raises(ValidationError):
        sockiter("targets", "--json")


def test_a_document_has_a_version_and_so_has_every_object_of_a_list() -> None:
    assert json.loads(sockiter("show", RFC_SKIP, "--json").stdout)["version"] == 1
    assert {target["version"] for target in json.loads(sockiter("targets", "--json").stdout)} == {1}


# Errors.


def error(*words: object) -> tuple[str, int]:
    """The message of the one document that a command prints, and its exit status."""
    result = sockiter(*words)
    document = validated(json.loads(result.stdout), "error")
    assert document["status"] == result.exit_code
    assert document["error"] in result.stderr
    return document["error"], result.exit_code


def test_an_error_is_a_document_and_a_line_on_standard_error() -> None:
    path = CASES / "none.case"
    assert error("show", path, "--json") == (f"{path}: cannot be read: No such file or directory", 2)


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense", "--json"),
        ("--nonsense", "fuzz", "--json"),
        ("replay", "--json"),
        ("fuzz", "--json", "--seconds", "0"),
        ("race", "--json", "--nonsense"),
        ("vm", "--json"),
        ("vm", "--json", "--memory", "much", "kernel", "--", "true"),
    ],
)
def test_wrong_usage_is_a_document_as_well(words: tuple[str, ...]) -> None:
    message, status = error(*words)
    assert (bool(message), status) == (True, 2)


def test_an_option_of_other_commands_is_refused_with_their_names() -> None:
    message = "No such option '--svg': it is an option of show."
    assert error("replay", RFC_SKIP, "--svg", "x.svg", "--json") == (message, 2)
    assert "minimize, fuzz" not in sockiter("replay", RFC_SKIP, "--nothing").stderr


def test_without_the_option_an_error_prints_no_document() -> None:
    assert sockiter("show", CASES / "none.case").stdout == ""
    # This one belongs to the command in the guest.
    assert sockiter("vm", "--memory", "much", "kernel", "--", "sockiter", "targets", "--json").stdout == ""


def test_an_interrupt_is_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(targets_command, "callback", interrupt)
    assert error("targets", "--json") == ("interrupted", 130)


def test_an_error_on_standard_error_alone_leaves_the_document_of_the_error(tmp_path: Path) -> None:
    # The note about the unknown target cannot be written, and that is not an end of standard output.
    path = tmp_path / "x.case"
    path.write_text("# sockiter case v1\nexpect next-year skip A\nadd A tail\nopen\nread all\n", encoding="utf-8")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "sockiter", "replay", str(path), "--target", "offset-udp", "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, text=True)
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"] == "[Errno 28] No space left on device"


def test_an_error_behind_a_document_prints_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(**options: object) -> None:
        click.echo(documents.text({"done": True}))
        raise InputError("too late")

    monkeypatch.setattr(targets_command, "callback", late)
    monkeypatch.setattr("tests.support.command.check_output", lambda words, stdout: None)
    result = sockiter("targets", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (2, {"version": 1, "done": True})
    assert result.stderr == "sockiter: too late\n"


def test_an_error_before_the_command_line_is_there_is_a_document(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def settle(environment: object) -> None:
        raise InputError("no user")

    monkeypatch.setattr("sockiter.rights.settle", settle)
    monkeypatch.setattr("sys.argv", ["sockiter", "targets", "--json"])
    monkeypatch.setattr(documents._Expected, "is_due", None)
    with pytest.raises(SystemExit):
        __main__.run()
    output = capsys.readouterr()
    assert validated(json.loads(output.out), "error") == {"version": 1, "error": "no user", "status": 2}
    assert output.err == "sockiter: no user\n"


def test_an_error_whose_document_cannot_be_written_keeps_its_status() -> None:
    command = [sys.executable, "-m", "sockiter", "show", "none.case", "--json"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, "sockiter: none.case: cannot be read: No such file or directory\n")


def test_a_document_that_cannot_be_written_is_followed_by_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(document: object) -> None:
        documents.text({})
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(import_module("sockiter.cli.targets"), "print_json", full)
    result = sockiter("targets", "--json")
    assert (result.exit_code, result.stdout) == (3, "")
