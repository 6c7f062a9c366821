"""What a program finds around it is built from what is said, and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from quarterdeck.agent.processes.environment import LANG, PATH, Environment, Templates
from quarterdeck.model.errors import Unavailable
from quarterdeck.model.nodes import AgentIdentity

WHO = AgentIdentity(agent_id="a", gid=2, nid=5, serial="1")


@pytest.mark.parametrize(
    ("written", "filled"),
    [
        ("$agentroot/bin", "{home}/bin"),
        ("$tmp/$agentroot", "{home}/tmp/{home}"),
        ("$rootfs ${root} $$root", "$rootfs ${{root}} $/"),
        ("$root", "/"),
        ("no word", "no word"),
    ],
)
def test_words_stand_for_folders(tmp_path: Path, written: str, filled: str) -> None:
    assert Templates(tmp_path).fill(written) == filled.format(home=tmp_path)


def test_the_temporary_folder_is_made_when_it_is_named(tmp_path: Path) -> None:
    templates = Templates(tmp_path)
    assert templates.fill_all(("a", "$root")) == ("a", "/")
    assert not (tmp_path / "tmp").exists()
    assert templates.fill_values({"a": "$tmp"}) == {"a": str(tmp_path / "tmp")}
    assert (tmp_path / "tmp").is_dir()


def test_a_folder_that_cannot_be_made_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "tmp").write_text("in the way")
    with pytest.raises(Unavailable, match="File exists"):
        Templates(tmp_path).fill("$tmp")


def test_nothing_of_the_agents_own_environment_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATH", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QD_AGENT_TOKEN", "secret")
    environment = Environment(Templates(tmp_path), who=lambda: WHO, node="here")
    found = environment.variables("job", {"MINE": "$root", "QD_NODE": "mine"})
    assert (found["PATH"], found["LANG"], found["MINE"], found["QD_NODE"]) == (PATH, LANG, "/", "mine")
    assert (found["QD_GID"], found["QD_NID"], found["QD_JOB_ID"]) == ("2", "5", "job")
    assert "secret" not in found.values()
    assert environment.folder("") == found["TMPDIR"] == str(tmp_path / "tmp")
    assert environment.folder("$agentroot/x") == f"{tmp_path}/x"
