from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from quarterdeck.cli import config
from quarterdeck.cli.verbs import app
from quarterdeck.model.config import AgentConfig, IngestConfig, LinkConfig, OutboxConfig, ServerConfig
from quarterdeck.model.errors import BadConfig


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and no configuration but what the test gives."""
    for name in [name for name in os.environ if name.startswith("QD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("QD_HOME", str(tmp_path))
    (tmp_path / "quarterdeck.toml").touch()  # where there is one, that of the system is not read
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_without_anything_all_values_are_defaults(home: Path) -> None:
    loaded = config.load(ServerConfig, flags={})
    assert loaded.config == ServerConfig(home=str(home))
    assert {key for key, origin in loaded.origins.items() if origin != "default"} == {"home"}


def test_the_file_the_environment_and_flags_win_in_this_order(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(
        home / "quarterdeck.toml",
        '[server]\nhttp = "file:1"\ngid = 3\n[server.link]\naddress = "file:2"\n[server.ingest]\nrows = 4\n',
    )
    monkeypatch.setenv("QD_LINK", "environment:2")
    monkeypatch.setenv("QD_SERVER_GID", "5")
    loaded = config.load(ServerConfig, flags={"gid": 6, "http": None})
    assert loaded.config == ServerConfig(
        home=str(home), http="file:1", gid=6, link=LinkConfig(address="environment:2"), ingest=IngestConfig(rows=4)
    )
    assert [loaded.origins[key] for key in ("http", "link.address", "gid", "ingest.rows", "state_url")] == [
        str(file),
        "environment",
        "flag",
        str(file),
        "default",
    ]


def test_a_keys_own_variable_wins_over_the_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("QD_LINK", "a:1"), ("QD_AGENT_SERVER", "b:2"), ("QD_SERVER_LINK__ADDRESS", "c:3")):
        monkeypatch.setenv(name, value)
    assert config.load(AgentConfig, flags={}).config.server == "b:2"
    assert config.load(ServerConfig, flags={}).config.link.address == "c:3"


def test_one_file_serves_both_halves(home: Path) -> None:
    write(home / "quarterdeck.toml", '[server]\ngid = 2\n[agent]\nname = "n1"\n')
    assert config.load(ServerConfig, flags={}).config.gid == 2
    assert config.load(AgentConfig, flags={}).config.name == "n1"


def test_the_file_is_the_one_named_else_the_homes_else_the_systems(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, system = home / "quarterdeck.toml", write(home / "system.toml", "")
    assert config.config_file(system=system) == own
    own.unlink()
    assert config.config_file(system=system) == system
    system.unlink()
    assert config.config_file(system=system) is None
    monkeypatch.setenv("QD_CONFIG", "/elsewhere.toml")
    assert config.config_file(system=system) == Path("/elsewhere.toml")


def test_nested_keys_come_from_everywhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / "quarterdeck.toml", "[agent.outbox]\nmemory_bytes = 1\nmax_age_s = 2.5\n")
    monkeypatch.setenv("QD_AGENT_OUTBOX__DISK_BYTES", "3")
    loaded = config.load(AgentConfig, flags={})
    assert loaded.config.outbox == OutboxConfig(memory_bytes=1, disk_bytes=3, max_age_s=2.5)
    assert loaded.origins["outbox.disk_bytes"] == "environment"


def test_labels_and_names_are_written_with_commas_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QD_AGENT_LABELS", "role=web,site=north=1,empty=")
    monkeypatch.setenv("QD_SERVER_LINK__NAMES", "deck.example,10.0.0.1")
    assert config.load(AgentConfig, flags={}).config.labels == {"role": "web", "site": "north=1", "empty": ""}
    assert config.load(ServerConfig, flags={}).config.link.names == ("deck.example", "10.0.0.1")


def test_a_label_without_a_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QD_AGENT_LABELS", "role=web,spare")
    with pytest.raises(BadConfig, match=r"labels \(environment\): expected name=value.*found 'spare'"):
        config.load(AgentConfig, flags={})


def test_labels_in_the_file_are_a_table_of_free_names(home: Path) -> None:
    write(home / "quarterdeck.toml", '[agent.labels]\nrole = "web"\n')
    assert config.load(AgentConfig, flags={}).config.labels == {"role": "web"}


def test_the_other_halfs_environment_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QD_AGENT_TOKEN", "secret")
    assert config.load(ServerConfig, flags={}).config == ServerConfig(home=os.environ["QD_HOME"])


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('[server]\nhtpp = "x"\n', "'htpp'", "Did you mean 'http'?"),
        ("[server]\nzzz = 1\n", "'zzz'", "Known are: audit_entries, commands.expires_s, commands.kept"),
        ("[sever]\n", "'sever'", "Did you mean 'server'?"),
        ("[agent.outbox]\nmemory = 1\n", "'outbox.memory'", "Did you mean 'outbox.memory_bytes'?"),
        ("[agent]\noutbox = 1\n", "'outbox'", "outbox.disk_bytes"),
    ],
)
def test_an_unknown_key_in_the_file_is_an_error_that_names_the_nearest(
    home: Path, text: str, message: str, hint: str
) -> None:
    file = write(home / "quarterdeck.toml", text)
    kind = AgentConfig if "agent" in text else ServerConfig
    with pytest.raises(BadConfig) as caught:
        config.load(kind, flags={})
    assert message in caught.value.message
    assert str(file) in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["QD_SERVER_HTPP", "QD_HTPP", "QD_LINKS"])
def test_an_unknown_variable_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(BadConfig, match="environment") as caught:
        config.load(ServerConfig, flags={})
    assert "Did you mean" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        '[server]\ngid = "three"\n',
        "[server]\ngid = 1.5\n",
        "[server]\nhttp = 8420\n",
        '[server]\ngid = "3"\n',
        '[server]\nnames = "one"\n',
        "server = 3\n",
        "[server\n",
        "\x00",
    ],
)
def test_a_wrong_type_or_broken_file_says_where(home: Path, text: str) -> None:
    file = write(home / "quarterdeck.toml", text)
    with pytest.raises(BadConfig, match=r"quarterdeck\.toml"):
        config.load(ServerConfig, flags={}, file=file)


def test_a_wrong_type_in_the_environment_names_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QD_SERVER_INGEST__ROWS", "many")
    with pytest.raises(BadConfig, match=r"ingest.rows = 'many' \(environment\)"):
        config.load(ServerConfig, flags={})


@pytest.mark.parametrize("old", config.MOVED)
def test_a_key_that_has_another_name_now_is_refused_with_the_new_one(
    home: Path, monkeypatch: pytest.MonkeyPatch, old: str
) -> None:
    section, new = config.MOVED[old].split(".")
    assert config.MOVED[old] in config.load(ServerConfig, flags={}).origins
    file = write(home / "other.toml", f"[server]\n{old} = 1\n")
    with pytest.raises(
        BadConfig, match=rf"'{old}' .*other\.toml.* is now '{new}' in the section \[server\.{section}\]"
    ):
        config.load(ServerConfig, flags={}, file=file)
    monkeypatch.setenv(f"QD_SERVER_{old.upper()}", "1")
    with pytest.raises(BadConfig) as refused:
        config.load(ServerConfig, flags={})
    assert f"QD_SERVER_{section}__{new}".upper() in refused.value.hint


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["not text", "not there"])
def test_a_file_that_cannot_be_read_is_named(home: Path, content: bytes | None) -> None:
    file = home / "other.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadConfig, match=r"other\.toml"):
        config.load(ServerConfig, flags={}, file=file)


def test_config_show_hides_the_token_and_says_where_values_came_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QD_AGENT_TOKEN", "qdj-secret")
    app(["config", "show", "agent", "--json"], result_action="return_value")
    shown = capsys.readouterr().out
    assert "qdj-secret" not in shown
    assert '"(set)"' in shown
    assert '"environment"' in shown


def test_config_show_hides_passwords_in_addresses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QD_SERVER_STATE_URL", "postgresql://deck:s3cret@db/fleet")
    app(["config", "show", "server"], result_action="return_value")
    shown = capsys.readouterr().out
    assert "s3cret" not in shown
    assert "postgresql://deck:***@db/fleet" in shown
    monkeypatch.setenv("QD_REDIS", "redis://:se:c@ret@cache:6379/0")
    app(["config", "show", "server"], result_action="return_value")
    assert "redis://:***@cache:6379/0" in capsys.readouterr().out


# ── extensions ───────────────────────────────────────────────────────────────────────────────────────────────────────
BACKUP = """
[agent.extensions.backup]
binary = "/usr/bin/tar"
args = ["--level={level:1}", "{path}"]
max_time = 60
[agent.extensions.backup.env]
LANG = "C"
"""


def test_extensions_are_read_by_their_names(home: Path) -> None:
    write(home / "quarterdeck.toml", BACKUP)
    loaded = config.load(AgentConfig, flags={})
    (extension,) = loaded.config.extensions.values()
    assert (extension.binary, extension.max_time, extension.env) == ("/usr/bin/tar", 60, {"LANG": "C"})
    assert extension.names == {"level", "path"}
    assert loaded.origins["extensions"] == str(home / "quarterdeck.toml")


def test_config_show_has_a_line_for_each_extension_with_what_was_set(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(home / "quarterdeck.toml", BACKUP + '[agent.extensions.other]\nbinary = "x"\n')
    app(["config", "show", "agent"], result_action="return_value")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("extensions")]
    assert [line.split()[0] for line in lines] == ["extensions.backup", "extensions.other"]
    assert "/usr/bin/tar" in lines[0]
    assert "max_time" in lines[0]
    assert "max_restart" not in lines[0]
    assert "env" not in lines[1]


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_config_show_hides_the_environment_of_an_extension(
    home: Path, json: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(home / "quarterdeck.toml", BACKUP + 'PGPASSWORD = "s3cret"\nEMPTY = ""\n')
    app(["config", "show", "agent", *json], result_action="return_value")
    printed = capsys.readouterr().out
    assert "s3cret" not in printed
    assert {"LANG", "PGPASSWORD", "EMPTY", "(set)", "/usr/bin/tar"} <= set(re.findall(r"[\w/()]+", printed))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (AgentConfig, '[agent]\ntoken = ["s3cret"]\n'),
        (AgentConfig, '[[agent]]\ntoken = "s3cret"\n'),
        (AgentConfig, '[[agent.extensions]]\nbinary = "x"\nenv = {KEY = "s3cret"}\n'),
        (AgentConfig, '[agent.extensions.x]\nbinary = "x"\nenv = "s3cret"\n'),
        (AgentConfig, '[agent.extensions.x]\nbinary = "x"\nenv = {KEY = ["s3cret"]}\n'),
        (AgentConfig, '[agent]\nextensions = "s3cret"\n'),
        (ServerConfig, '[server]\nstate_url = ["postgresql://deck:s3cret@db/fleet"]\n'),
        (ServerConfig, '[server]\nredis = ["redis://:s3cret@cache"]\n'),
    ],
)
def test_what_is_wrong_with_the_file_is_said_without_its_secrets(
    home: Path, kind: type[AgentConfig | ServerConfig], text: str
) -> None:
    write(home / "quarterdeck.toml", text)
    with pytest.raises(BadConfig, match=r"quarterdeck\.toml") as caught:
        config.load(kind, flags={})
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("backup", 'binar = "x"', "Did you mean 'binary'"),
        ("backup", 'args = ["x"]', "binary"),
        ("backup", 'binary = ""', "found none"),
        ("backup", "binary = 5", "binary is a text; found a whole number."),
        ("backup", 'binary = "x"\nargs = ["{a"]', "literal brace twice"),
        ("backup", 'binary = "x"\nargs = ["{a b}"]', "literal brace twice"),
        ("backup", 'binary = "x"\nmax_time = -3', "max_time"),
        ("backup", 'binary = "x"\nmemory = "much"', "size"),
        ("'a b'", 'binary = "x"', "cannot be an extension's name"),
    ],
)
def test_an_extension_that_makes_no_sense_is_an_error_that_names_it(
    home: Path, name: str, body: str, words: str
) -> None:
    write(home / "quarterdeck.toml", f"[agent.extensions.{name}]\n{body}\n")
    with pytest.raises(BadConfig, match=name.strip("'")) as caught:
        config.load(AgentConfig, flags={})
    assert words in str(caught.value)


def test_durations_are_numbers_of_seconds_or_texts_with_units(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        home / "quarterdeck.toml",
        '[agent]\nheartbeat_s = "500ms"\nprocesses.stats_interval = "1m"\noutbox.max_age_s = 7\n'
        '[agent.extensions.backup]\nbinary = "/bin/true"\nmax_time = "1h"\n',
    )
    monkeypatch.setenv("QD_AGENT_STATS_INTERVAL_S", "2m")
    monkeypatch.setenv("QD_AGENT_FLUSH_INTERVAL_S", "1.5")
    loaded = config.load(AgentConfig, flags={}).config
    assert (loaded.heartbeat_s, loaded.processes.stats_interval, loaded.outbox.max_age_s) == (0.5, 60, 7)
    assert (loaded.stats_interval_s, loaded.flush_interval_s) == (120, 1.5)
    assert loaded.extensions["backup"].max_time == 3600


@pytest.mark.parametrize("key", ["heartbeat_s", "extensions.backup.max_time"])
def test_a_wrong_duration_is_refused_with_its_key(home: Path, key: str) -> None:
    file = write(home / "quarterdeck.toml", f'[agent]\n{key} = "1x"\n')
    with pytest.raises(BadConfig, match=rf"{file}: {key} is a number of seconds, or a duration such as .*'1x'"):
        config.load(AgentConfig, flags={})
