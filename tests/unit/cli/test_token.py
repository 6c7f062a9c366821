from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest
from msgspec.structs import replace

from quarterdeck.cli import main, token
from quarterdeck.model.tokens import ApiToken, JoinToken, NewApiToken, NewJoinToken, Role
from tests.unit.cli.conftest import CallQd


@pytest.mark.parametrize(
    ("link", "named", "warned"),
    [
        ("deck.example.org:8421", "deck.example.org:8421", False),
        ("127.0.0.1:8421", "127.0.0.1:8421", True),
        ("0.0.0.0:8421", "SERVER:8421", False),
        ("[::]:9", "SERVER:9", False),
    ],
)
def test_a_join_token_comes_with_a_command_that_another_host_can_use(
    link: str, named: str, warned: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def connect() -> Generator[SimpleNamespace]:
        made = SimpleNamespace(token="qd1_x")
        info = SimpleNamespace(link=link, link_https="")
        tokens = SimpleNamespace(create=lambda _: made)
        yield SimpleNamespace(tokens=tokens, server=SimpleNamespace(get=lambda: info))

    monkeypatch.setattr(token, "connect", connect)
    monkeypatch.setattr(sys, "argv", ["qd", "token", "create"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert not ended.value.code
    printed = capsys.readouterr()
    assert printed.out == "qd1_x\n"
    assert f"qd agent --server {named} --token qd1_x\n" in printed.err
    assert ("Only this machine reaches that address" in printed.err) == warned


JOIN = JoinToken(id="j1", gid=1, labels={"role": "web"}, created_at=1.0, expires_at=3600.0)
API = ApiToken(id="a1", name="ci", role=Role.VIEWER, created_at=1.0)


class Server:
    """Makes these two tokens, and lists API tokens of which one was used."""

    def __init__(self) -> None:
        self.tokens = SimpleNamespace(create=lambda _: NewJoinToken(token="qd1_x", info=JOIN))
        self.api_tokens = SimpleNamespace(
            create=lambda *_, **__: NewApiToken(token="qda_x", info=API),
            list=lambda: [replace(API, used_at=1_763_726_400.0), replace(API, id="a2", name="idle")],
        )


CREATE, CREATE_API = ("token", "create"), ("token", "api", "create", "ci")
JOIN_CSV = "token,id,gid,nid,labels,may_set,expires\nqd1_x,j1,1,,role=web,,1970-01-01T01:00:00.000+00:00\n"


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ((*CREATE, "-o", "name"), "j1\n"),
        ((*CREATE, "-o", "csv"), JOIN_CSV),
        ((*CREATE_API, "-o", "table"), "qda_x\n"),
        ((*CREATE_API, "-o", "wide"), "qda_x\n"),
        ((*CREATE_API, "-o", "name"), "a1\n"),
        ((*CREATE_API, "-o", "csv"), "token,id,name,role,expires\nqda_x,a1,ci,viewer,\n"),
    ],
)
def test_a_new_token_is_printed_in_every_format(
    words: tuple[str, ...], printed: str, call_qd: CallQd, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call_qd(Server(), *words) == 0
    out, err = capsys.readouterr()
    assert out == printed
    assert not err


@pytest.mark.parametrize("words", [CREATE, CREATE_API])
def test_a_new_token_is_a_struct_in_json_and_yaml(
    words: tuple[str, ...], call_qd: CallQd, capsys: pytest.CaptureFixture[str]
) -> None:
    found: list[object] = []
    for options, decode in (("--json", msgspec.json.decode), ("--output=yaml", msgspec.yaml.decode)):
        assert call_qd(Server(), *words, options) == 0
        found.append(decode(capsys.readouterr().out.encode()))
    assert found[0] == found[1]
    assert set(cast("dict[str, object]", found[0])) == {"token", "info"}


def test_a_list_of_api_tokens_says_when_each_was_used(call_qd: CallQd, capsys: pytest.CaptureFixture[str]) -> None:
    assert call_qd(Server(), "token", "api", "ls") == 0
    heading, used, idle = capsys.readouterr().out.splitlines()
    assert heading.split()[-1] == "USED"
    assert used.endswith(" ago")
    assert idle.split()[-1] == "never"
    call_qd(Server(), "token", "api", "ls", "-o", "csv")
    assert [line.rpartition(",")[2] for line in capsys.readouterr().out.splitlines()] == [
        "used",
        "2025-11-21T12:00:00.000+00:00",
        "",
    ]
