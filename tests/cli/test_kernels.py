"""`sockiter kernels`: the running kernel, guests, the file of --resume, and the exit statuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import sockiter as package
from sockiter.cli import kernels
from sockiter.cli.kernels import _own_corpus
from sockiter.errors import Unavailable
from sockiter.vm import worker
from tests.support.command import sockiter
from tests.support.modelled_kernel import model_kernel
from tests.support.paths import CASES
from tests.support.schemas import validated

UDP = ("--target", "kernel:udp", "--seconds", "0", "--seed", "1")


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with two cases, and a working directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("rank-skip-elsewhere-remove.case", "rank-repeat-elsewhere-add-head.case"):
        (folder / name).write_text((CASES / name).read_text())
    return folder


@pytest.fixture
def guests(machine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Mapping[str, Any]]:
    """Orders for guests, each of which surveys a kernel that walks by rank."""
    orders: list[Mapping[str, Any]] = []

    def hand_over(order: Mapping[str, Any], account: worker.Account) -> int:
        orders.append(order)
        if order["kernel"] == "broken":
            account.report["trouble"] = "the guest did not come up"
            return 3
        if order["kernel"] == "slow":
            return 124
        if order["kernel"] == "interrupted":
            return 130
        status = sockiter(*order["command"][7:]).exit_code
        if order["kernel"] == "crashing":
            part = Path(order["command"][order["command"].index("--resume") + 1])
            document = json.loads(part.read_text())
            document["kernels"][0]["is_complete"] = False
            part.write_text(json.dumps(document))
            return 3
        return status

    monkeypatch.setattr(worker, "hand_over", hand_over)
    model_kernel(monkeypatch, "rank")
    return orders


def test_the_running_kernel_is_surveyed_in_this_process(monkeypatch: pytest.MonkeyPatch, corpus: Path) -> None:
    model_kernel(monkeypatch, "rank")
    result = sockiter("kernels", "running", *UDP, "--cases", corpus)
    assert result.exit_code == 0
    assert "kernel:udp  rank 2/" in result.stdout
    assert "sockiter: running: kernel:udp: walks by rank\n" in result.stderr


def test_a_guest_surveys_its_kernel_with_the_same_command(corpus: Path, guests: list[Mapping[str, Any]]) -> None:
    result = sockiter("kernels", "linux-image-6.1", "--suite", "sid", *UDP, "--cases", corpus, "--json")
    assert result.exit_code == 0
    (survey,) = json.loads(result.stdout)["kernels"]
    assert (survey["kernel"], survey["is_complete"], survey["targets"][0]["scheme"]) == ("linux-image-6.1", True, "rank")
    (order,) = guests
    assert (order["do"], order["suite"], order["timeout_s"]) == ("run", "sid", 3600)
    assert order["command"][:2] == ["sh", "-c"]
    assert order["command"][5:9] == ["-m", "sockiter", "kernels", "running"]
    assert order["reads"] == [str(corpus)]
    assert not Path("sockiter-cases/linux-image-6.1").exists()


def test_new_cases_of_a_guest_are_in_a_folder_of_its_kernel(
    monkeypatch: pytest.MonkeyPatch, corpus: Path, guests: list[Mapping[str, Any]]
) -> None:
    result = sockiter("kernels", "linux-image-6.1", *UDP, "--cases", corpus, "--seconds", "0.05", "--found", "found")
    assert result.exit_code == 0
    assert any(Path("found/linux-image-6.1").iterdir())


def test_a_kernel_that_was_surveyed_is_kept_and_only_new_targets_are_surveyed(
    corpus: Path, guests: list[Mapping[str, Any]]
) -> None:
    words = ("kernels", "linux-image-6.1", *UDP, "--cases", corpus, "--resume", "file.json")
    assert sockiter(*words).exit_code == 0
    document = json.loads(Path("file.json").read_text())
    validated(document, "kernels")
    result = sockiter(*words)
    assert len(guests) == 1
    assert "sockiter: linux-image-6.1: kept from file.json\n" in result.stderr
    assert sockiter(*words, "--target", "kernel:unix").exit_code == 0
    assert guests[1]["command"].count("--target") == 1
    (survey,) = json.loads(Path("file.json").read_text())["kernels"]
    assert [one["target"] for one in survey["targets"]] == ["kernel:udp", "kernel:unix"]


def test_the_document_has_the_changes_from_kernel_to_kernel(
    monkeypatch: pytest.MonkeyPatch, corpus: Path, guests: list[Mapping[str, Any]]
) -> None:
    words = (*UDP, "--cases", corpus, "--resume", "file.json", "--json")
    assert sockiter("kernels", "linux-image-6.1", *words).exit_code == 0
    model_kernel(monkeypatch, "cookie-udp")
    result = sockiter("kernels", "linux-image-6.1", "running", *words)
    assert result.exit_code == 0
    (changes,) = json.loads(result.stdout)["progression"]
    assert changes["schemes"] == [{"target": "kernel:udp", "before": "rank", "after": "cookie-udp"}]
    assert {change["case"] for change in changes["gone"]} == {path.name for path in corpus.iterdir()}
    # More targets of the running kernel: the survey of the others stays until theirs is complete.
    assert sockiter("kernels", "running", *words, "--target", "kernel:unix").exit_code == 0
    targets = {one["kernel"]: one["targets"] for one in json.loads(Path("file.json").read_text())["kernels"]}
    assert [one["target"] for one in targets["running"]] == ["kernel:udp", "kernel:unix"]


def test_more_targets_that_cannot_be_surveyed_leave_those_before(
    monkeypatch: pytest.MonkeyPatch, corpus: Path, guests: list[Mapping[str, Any]]
) -> None:
    words = ("kernels", "crashing", "linux-image-6.1", *UDP, "--cases", corpus, "--resume", "file.json")
    before = {"kernels": [{"kernel": "crashing", "is_complete": True, "targets": [], "cases": {}}]}
    Path("file.json").write_text(json.dumps(before))
    result = sockiter(*words)
    assert result.exit_code == 3
    assert "sockiter: crashing: status 3\n" in result.stderr
    kept = json.loads(Path("file.json").read_text())["kernels"]
    assert [(one["kernel"], one["is_complete"]) for one in kept] == [("linux-image-6.1", True), ("crashing", True)]


@pytest.mark.parametrize(
    ("kernel", "trouble"),
    [
        ("broken", "the guest did not come up"),
        ("slow", "the time limit of 3600 s came first (--timeout)"),
        ("crashing", "status 3"),
    ],
)
def test_a_guest_that_fails_is_reported_and_the_others_are_surveyed(
    corpus: Path, guests: list[Mapping[str, Any]], kernel: str, trouble: str
) -> None:
    result = sockiter("kernels", kernel, "linux-image-6.1", *UDP, "--cases", corpus, "--resume", "file.json")
    assert result.exit_code == 3
    assert f"{kernel}: {trouble}\n" in result.stdout
    assert "rank 2/" in result.stdout
    surveys = {one["kernel"]: one for one in json.loads(Path("file.json").read_text())["kernels"]}
    assert bool(surveys[kernel]["targets"]) is (kernel == "crashing")


def test_an_interrupted_guest_interrupts_the_command(corpus: Path, guests: list[Mapping[str, Any]]) -> None:
    result = sockiter("kernels", "interrupted", *UDP, "--cases", corpus)
    assert (result.exit_code, result.stdout) == (130, "")


def test_news_have_status_1_also_beside_a_guest_that_fails(
    monkeypatch: pytest.MonkeyPatch, corpus: Path, guests: list[Mapping[str, Any]]
) -> None:
    model_kernel(monkeypatch, "rank", detected="cookie-udp")
    result = sockiter("kernels", "broken", "running", *UDP, "--cases", corpus, "--html", "page.html")
    assert result.exit_code == 1
    assert "NEW on Linux" in result.stdout
    assert "New on Linux" in Path("page.html").read_text()
    assert "sockiter: wrote page.html" in result.stderr


@pytest.mark.usefixtures("absent_kernel")
def test_a_machine_without_the_prerequisites_is_reported(corpus: Path) -> None:
    result = sockiter("kernels", "running", *UDP, "--cases", corpus)
    assert result.exit_code == 3
    assert "running: no target runs there: " in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "rank"), "rank is no kernel's iterator: expected one of kernel:udp, "),
        (("--target", "kernel:udq"), "no target is named 'kernel:udq': did you mean 'kernel:udp'?"),
        (("--resume", "text"), "text: expected a document of `sockiter kernels --json`"),
    ],
)
def test_wrong_input_is_reported_before_anything_runs(
    corpus: Path, guests: list[Mapping[str, Any]], words: tuple[str, ...], message: str
) -> None:
    Path("text").write_text("{}")
    result = sockiter("kernels", "running", *words, "--cases", corpus)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_a_file_that_cannot_be_read_is_reported(
    corpus: Path, guests: list[Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, **how: Any) -> str:
        raise PermissionError(13, "Permission denied")

    Path("text").write_text("{}")
    monkeypatch.setattr(Path, "read_text", fail)
    result = sockiter("kernels", "running", *UDP, "--cases", corpus, "--resume", "text")
    assert (result.exit_code, result.stderr) == (3, "sockiter: text: cannot be read: Permission denied\n")


def test_the_corpus_is_in_the_package_or_in_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert _own_corpus() == CASES
    monkeypatch.setattr(package, "__file__", str(tmp_path / "sockiter" / "__init__.py"))
    with pytest.raises(Unavailable, match=r"^this installation has no cases of the project; name a directory with --cases$"):
        _own_corpus()
    (tmp_path / "sockiter" / "corpus").mkdir(parents=True)
    assert kernels._own_corpus() == tmp_path / "sockiter" / "corpus"
