"""What a member of a cluster reports of itself."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sockiter.cluster import member
from sockiter.cluster.member import Abilities, Identity, abilities, identity, release
from sockiter.cluster.wire import Disbelieved, failure_data
from sockiter.targets import target_named


def test_an_identity_names_versions_kernel_boot_and_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.release", lambda: "6.12.1")
    here = Identity.of(identity())
    assert here.release == release()
    assert here.kernel == "Linux 6.12.1"
    assert here.boot_id == member.boot_id() != ""


def test_a_kernel_of_another_architecture_is_named_with_it() -> None:
    assert Identity.of({**identity(), "kernel": "Linux 6.12.1", "machine": "riscv64"}).kernel == "Linux 6.12.1 riscv64"


def test_a_system_without_boot_ids_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(member, "BOOT_ID", tmp_path / "boot_id")
    assert member.boot_id() == ""


@pytest.mark.parametrize("data", [None, {}, {**identity(), "user": "root"}])
def test_an_identity_of_another_form_is_not_believed(data: Any) -> None:
    with pytest.raises(Disbelieved, match="its identity has another form"):
        Identity.of(data)


def test_abilities_are_the_targets_that_run_here_and_what_the_others_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    there = target_named("offset-udp")
    looks = {"summary": "", "hazards": {"remove"}, "known_failures": (), "detected_scheme": None, "is_real": True}
    real = SimpleNamespace(name="kernel:here", missing=lambda: None, **looks)
    absent = SimpleNamespace(name="kernel:absent", missing=lambda: "no root", **looks)
    monkeypatch.setattr(member, "TARGETS", (there, real, absent, target_named("rank")))
    able = Abilities.of(abilities(["offset-udp", "kernel:here", "kernel:absent"]), "Linux 6.12")
    assert able.models == {"offset-udp"}
    assert [target.name for target in able.targets] == ["kernel:here (Linux 6.12)"]
    assert able.missing == {"kernel:absent": "no root"}
    assert able.can("offset-udp")
    assert able.can("kernel:here (Linux 6.12)")
    assert not able.can("kernel:here")


@pytest.mark.parametrize("data", [None, {"kernel_targets": [{}]}, {"kernel_targets": [], "missing": []}])
def test_abilities_of_another_form_are_not_believed(data: Any) -> None:
    with pytest.raises(Disbelieved, match="its abilities have another form"):
        Abilities.of(data, "Linux")


def test_a_known_failure_is_reported_as_it_is_declared() -> None:
    for failure in target_named("cookie-tcp").known_failures:
        assert failure_data(failure)["kind"] == failure.kind
