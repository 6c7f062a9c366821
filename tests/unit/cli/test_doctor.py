"""The verdict of `qd doctor`, and its exit code."""

from __future__ import annotations

import json

import pytest

from quarterdeck.agent.processes import abilities
from quarterdeck.bpf import features
from quarterdeck.bpf.features import Feature
from quarterdeck.cli.doctor import doctor
from quarterdeck.cli.formats import OutputOptions


def found(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    """Simulate a host that has everything except these."""
    names = ("libbpf", "kernel BTF", "raw_tp", "lsm")
    survey = [Feature(name, ok=name not in missing, detail="[x]", costs="much") for name in names]
    monkeypatch.setattr(features, "survey", lambda: survey)
    monkeypatch.setattr(abilities, "survey", list)


def test_a_host_with_every_feature_gets_the_best_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found(monkeypatch)
    doctor()
    assert capsys.readouterr().out.splitlines()[-1] == "Modules can run here."


def test_a_missing_optional_feature_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found(monkeypatch, "lsm")
    doctor()
    out = capsys.readouterr().out
    assert "without it: much" in out
    assert out.splitlines()[-1] == "Modules can run here, except for what 1 missing feature would allow."


@pytest.mark.parametrize("as_json", [False, True])
def test_where_no_module_can_run_the_exit_code_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    found(monkeypatch, "kernel BTF")
    with pytest.raises(SystemExit) as ended:
        doctor(how=OutputOptions(json=as_json))
    assert ended.value.code == 1
    out = capsys.readouterr().out
    if as_json:
        assert [feature["ok"] for feature in json.loads(out)] == [True, False, True, True]
    else:
        assert out.splitlines()[-1].startswith("No module can run here. ")
