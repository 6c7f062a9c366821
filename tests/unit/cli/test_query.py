"""`qd query`: SQL, and the verbs of saved queries beside it."""

from __future__ import annotations

import io
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import SimpleNamespace

import msgspec
import pytest

from quarterdeck.cli import main, query
from quarterdeck.model.errors import NotFound
from quarterdeck.model.queries import Answer, AnswerColumn, Completeness
from quarterdeck.model.saved_queries import QueryView, SavedQuery, SaveQuery

SAVED = SavedQuery(
    name="slow starts",
    sql="SELECT 1",
    description="by node",
    view=QueryView.TABLE,
    version="v1",
    actor="olga",
    create_time=1_800_000_000.0,
    changed_by="otto",
    last_update_time=1_800_000_060.0,
)


class FakeServer:
    """Has one saved query, and notes what is asked."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.saves: list[tuple[str, SaveQuery]] = []
        self.removed: list[str] = []
        self.queries = SimpleNamespace(run=self.run)
        self.saved_queries = SimpleNamespace(
            list=lambda: [SAVED], get=self.get, save=self.save, remove=self.removed.append
        )

    def run(self, sql: str, **_: object) -> Answer:
        self.ran.append(sql)
        column = AnswerColumn(name="n", type="UInt8")
        whole = Completeness(complete=True)
        return Answer(columns=(column,), rows=[[1]], elapsed_s=0.0, rows_read=1, completeness=whole)

    def get(self, name: str) -> SavedQuery:
        if name != SAVED.name:
            raise NotFound(f"There is no saved query '{name}'.")
        return SAVED

    def save(self, name: str, request: SaveQuery) -> SavedQuery:
        self.saves.append((name, request))
        return msgspec.structs.replace(SAVED, name=name, sql=request.sql)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    fake = FakeServer()

    @contextmanager
    def connect() -> Generator[FakeServer]:
        yield fake

    monkeypatch.setattr(query, "connect", connect)
    return fake


def qd(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["qd", "query", *arguments])
    try:
        main.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def given(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


@pytest.mark.parametrize(
    ("arguments", "sql"),
    [
        (("SELECT 2",), "SELECT 2"),
        (("-",), "SELECT 3"),
        (("-- all\nSELECT 4",), "-- all\nSELECT 4"),
        (("run", "slow starts"), "SELECT 1"),
        (("run", "slow starts", "-o", "json"), "SELECT 1"),
    ],
)
def test_what_runs(server: FakeServer, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], sql: str) -> None:
    given("SELECT 3", monkeypatch)
    assert qd(*arguments, monkeypatch=monkeypatch) == 0
    assert server.ran == [sql]


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        (("new", "SELECT 2"), SaveQuery(sql="SELECT 2")),
        (("new", "-", "--description", "d"), SaveQuery(sql="SELECT 3", description="d")),
        (("new", "SELECT 2", "--replace"), SaveQuery(sql="SELECT 2")),
        (("slow starts", "SELECT 2"), SaveQuery(sql="SELECT 2")),
        (
            ("slow starts", "SELECT 2", "--replace", "--view", "chart"),
            SaveQuery(sql="SELECT 2", view=QueryView.CHART, replaces="v1"),
        ),
    ],
)
def test_what_is_saved(
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    request_: SaveQuery,
) -> None:
    given("SELECT 3", monkeypatch)
    assert qd("save", *arguments, monkeypatch=monkeypatch) == 0
    assert server.saves == [(arguments[0], request_)]
    assert capsys.readouterr().out == f"{arguments[0]} is saved.\n"


@pytest.mark.usefixtures("server")
def test_saved_queries_are_listed_and_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert qd("ls", "-o", "csv", monkeypatch=monkeypatch) == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert heading == "query,description,sql,changed,by,created_by,created"
    assert line.startswith("slow starts,by node,SELECT 1,2027-01-15T08:01:00.000+00:00,otto,olga,")
    assert qd("show", "slow starts", "--utc", monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "SELECT 1" in shown
    assert "2027-01-15 08:01:00 UTC" in shown
    assert qd("show", "other", monkeypatch=monkeypatch) == NotFound.exit_code


def test_saved_queries_are_removed(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert qd("rm", "a", "b", monkeypatch=monkeypatch) == 0
    assert server.removed == ["a", "b"]
    assert capsys.readouterr().out == "a is removed.\nb is removed.\n"
