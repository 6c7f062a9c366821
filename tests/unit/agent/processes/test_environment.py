"""What a program finds around it is built from what is said, and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from quarterdeck.agent.processes.environment import LANG, PATH, Environment, Templates
from quarterdeck.model.errors import Unavailable
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.services import Service

WHO = AgentIdentity(agent_id="a", gid=2, nid=5, serial="1")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("$agentroot/bin", "{home}/bin"),
        ("$tmp/$agentroot/$root", "{home}/tmp/$agentroot/$root"),  # what is behind the beginning are names
        ("$root", "/"),
        ("$root/bin/sh", "/bin/sh"),
        ("$rootfs/a", "$rootfs/a"),
        ("$root.d/a", "$root.d/a"),
        ("${{root}}/a", "${{root}}/a"),
        ("/srv/$root/$tmp", "/srv/$root/$tmp"),
        ("./$root", "./$root"),
        ("$$root", "$$root"),
        ("$root\n", "$root\n"),
        ("", ""),
    ],
)
def test_a_path_may_begin_with_a_word_and_is_its_own_from_there_on(tmp_path: Path, written: str, found: str) -> None:
    assert Templates(tmp_path).path(written.format()) == found.format(home=tmp_path)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("--in=$tmp/$agentroot", "--in={home}/tmp/{home}"),
        ("$rootfs ${{root}} $$ $1", "$rootfs ${{root}} $$ $1"),
        ("echo $$root $$$tmp", "echo $root $$tmp"),
        ("$root", "/"),
    ],
)
def test_a_template_has_words_anywhere_and_a_way_to_write_them(tmp_path: Path, written: str, found: str) -> None:
    assert Templates(tmp_path).template(written.format()) == found.format(home=tmp_path)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("--in={agent.tmp}/{agent.root}", "--in=HOME/tmp/HOME"),
        ("{{agent.tmp}} {{agent.root}}", "{agent.tmp} {agent.root}"),
        ("{{{agent.tmp}}}", "{{agent.tmp}}"),
        ("{agent.name} {agent} {tmp} { agent.tmp } {agent.tmp", "{agent.name} {agent} {tmp} { agent.tmp } {agent.tmp"),
        ('root=/y; echo "$root" ${tmp:-x} $agentroot', 'root=/y; echo "$root" ${tmp:-x} $agentroot'),
        ('{"agent.tmp": 1}', '{"agent.tmp": 1}'),
    ],
)
def test_a_service_has_a_form_that_no_shell_uses(tmp_path: Path, written: str, found: str) -> None:
    templates, found = Templates(tmp_path), found.replace("HOME", str(tmp_path))
    assert templates.service(written) == found
    assert templates.service_argv(("$root/bin/sh", written)) == ("/bin/sh", found)
    service = Service(name="web", command=("web",), env={"A": written}, workingdir="{agent.tmp}/x")
    settings = templates.service_settings(service)
    assert (settings.env, settings.workingdir) == ({"A": found}, f"{tmp_path}/tmp/x")


def test_the_temporary_folder_is_made_when_it_is_named(tmp_path: Path) -> None:
    templates = Templates(tmp_path)
    assert templates.service_argv(("a", "$tmp")) == ("a", "$tmp")
    assert not (tmp_path / "tmp").exists()
    assert templates.path("$tmp") == str(tmp_path / "tmp")
    assert (tmp_path / "tmp").is_dir()


def test_a_folder_that_cannot_be_made_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "tmp").write_text("in the way")
    with pytest.raises(Unavailable, match="File exists"):
        Templates(tmp_path).path("$tmp")


def test_nothing_of_the_agents_own_environment_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATH", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QD_AGENT_TOKEN", "secret")
    environment = Environment(Templates(tmp_path), who=lambda: WHO, node="here")
    found = environment.variables("job", {"MINE": "$root $tmp", "QD_NODE": "mine"})
    assert (found["PATH"], found["LANG"], found["MINE"], found["QD_NODE"]) == (PATH, LANG, "$root $tmp", "mine")
    assert (found["QD_GID"], found["QD_NID"], found["QD_JOB_ID"]) == ("2", "5", "job")
    assert "secret" not in found.values()
    assert environment.folder("") == found["TMPDIR"] == str(tmp_path / "tmp")
    assert environment.folder("$agentroot/x") == f"{tmp_path}/x"
    assert environment.folder("/srv/$tmp") == "/srv/$tmp"
