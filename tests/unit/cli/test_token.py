from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from quarterdeck.cli import main, token


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
        yield SimpleNamespace(create_join_token=lambda _: made, server_info=lambda: info)

    monkeypatch.setattr(token, "connect", connect)
    monkeypatch.setattr(sys, "argv", ["qd", "token", "create"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert not ended.value.code
    printed = capsys.readouterr()
    assert printed.out == "qd1_x\n"
    assert f"qd agent --server {named} --token qd1_x\n" in printed.err
    assert ("Only this machine reaches that address" in printed.err) == warned
