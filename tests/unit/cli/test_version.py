"""`qd version`, with a server and without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import msgspec
import pytest

from quarterdeck import __version__
from quarterdeck.cli import version as verb
from quarterdeck.cli.formats import Format, OutputOptions
from quarterdeck.model.errors import Forbidden, QuarterdeckError, Unavailable
from quarterdeck.model.server import ServerInfo

INFO = ServerInfo(
    version="9.8.7",
    protocol=2,
    link="a:1",
    http="a:2",
    state_store="sqlite",
    telemetry_store="chdb",
    started_at=0.0,
    nodes=0,
    nodes_online=0,
)


def answer(monkeypatch: pytest.MonkeyPatch, given: ServerInfo | QuarterdeckError) -> None:
    """Let the server answer so."""

    def get() -> ServerInfo:
        if isinstance(given, QuarterdeckError):
            raise given
        return given

    @contextmanager
    def connect(*, timeout_s: float) -> Iterator[SimpleNamespace]:
        assert timeout_s == verb.TIMEOUT_S
        yield SimpleNamespace(server=SimpleNamespace(get=get))

    monkeypatch.setattr(verb, "connect", connect)


def test_both_versions_are_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer(monkeypatch, INFO)
    verb.version()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["client", __version__], ["server", "9.8.7"], ["protocol", "2"], ["address", "a:2"]]


def test_without_a_server_the_client_is_printed_and_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, Unavailable("Nobody [red]answers[/]."))
    verb.version(how=OutputOptions(output=Format.JSON))
    out, err = capsys.readouterr()
    assert msgspec.json.decode(out) == {"client": __version__, "server": None, "protocol": None, "http": ""}
    assert err == "no server: Nobody [red]answers[/].\n"


def test_an_older_server_states_no_protocol() -> None:
    older = {name: value for name, value in msgspec.to_builtins(INFO).items() if name != "protocol"}
    assert msgspec.convert(older, ServerInfo).protocol is None


def test_another_error_of_the_server_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, Forbidden())
    with pytest.raises(Forbidden):
        verb.version()
