"""Messages as rows of the table `messages`: every run's columns, in batches."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow.ipc
import pytest
import zstandard

from quarterdeck.agent.messages.forward import BATCH_MESSAGES, WAIT_S, Forwarder
from quarterdeck.agent.messages.lines import LineParser
from quarterdeck.agent.messages.runs import Routing, Run, Source
from quarterdeck.columns.arrow import BODY_BYTES
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.errors import BadInput
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.messages import Level, Levels, LogLevels
from quarterdeck.model.tables import Table


class Sent:
    """The emitted batches, as the server decodes them."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.rows: list[dict[str, object]] = []
        self.losses: list[Loss] = []
        self.now_s = 0.0
        self.forwarder = Forwarder(Outlet(emit=self.emit, lose=self.losses.append), clock=lambda: self.now_s)

    def emit(self, table: Table, rows: int, body: bytes, module: str, losses: Sequence[Loss]) -> None:
        assert table.name == "messages"
        stream = zstandard.ZstdDecompressor().stream_reader(body).read()
        self.rows += pyarrow.ipc.open_stream(stream).read_all().to_pylist()
        self.batches.append(rows)


def run(*texts: bytes, level: int = 7, job: str = "job", at_ms: int = 1000, first: int = 0) -> Run:
    ids = range(first, first + len(texts))
    return Run(Source(job, "shop", "wéb"), at_ms, [level] * len(texts), list(texts), [0] * len(texts), ids)


def test_runs_become_rows_in_order() -> None:
    sent = Sent()
    sent.forwarder.add(run(b"a", b"", b"b\xff\0", first=5))
    sent.forwarder.add(run())
    sent.forwarder.add(run("€".encode(), level=9, job="other", at_ms=2000, first=2**32 - 1))
    assert sent.rows == []
    sent.forwarder.flush()
    assert sent.batches == [4]
    assert [row["data"] for row in sent.rows] == ["a", "", "b\ufffd\0", "€"]
    assert [row["id"] for row in sent.rows] == [5, 6, 7, 2**32 - 1]
    assert [row["job_id"] for row in sent.rows] == ["job", "job", "job", "other"]
    assert [row["time"].timestamp() for row in sent.rows] == [1, 1, 1, 2]  # type: ignore[attr-defined]
    assert {(row["domain"], row["name"]) for row in sent.rows} == {("shop", "wéb")}
    assert [(row["level"], row["marks"]) for row in sent.rows] == [(7, 0), (7, 0), (7, 0), (9, 0)]


def test_messages_are_sent_when_there_are_many_or_when_they_are_old() -> None:
    sent = Sent()
    assert sent.forwarder.due_s is None
    sent.forwarder.add(run(*[b"a"] * (BATCH_MESSAGES - 1)))
    assert sent.forwarder.due_s == WAIT_S
    sent.now_s = 10
    assert sent.forwarder.due_s == 0
    sent.forwarder.add(run(b"c"))
    assert sent.batches == [BATCH_MESSAGES]
    sent.forwarder.flush()
    assert sent.batches == [BATCH_MESSAGES]


def test_what_cannot_be_encoded_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = Sent()
    sent.forwarder.add(run(b"a", b"b", level=300))
    sent.forwarder.flush()
    assert [(loss.table, loss.reason, loss.rows) for loss in sent.losses] == [("messages", LossReason.BAD_RECORD, 2)]
    sent.forwarder.add(run(b"c"))
    sent.forwarder.flush()
    assert sent.batches == [1]


def test_levels_say_what_goes_where() -> None:
    lines = LineParser(Level.STDOUT).feed(b"out\n10::a:1|c\n7::warn\nout\n9::bad\n")
    whole = Run.of(Source("job"), lines, epoch_ms=1).numbered(range(5))
    routing = Routing.of(LogLevels(loglevels="1-9", loglevels_db="1,9", loglevels_ac="7-9"))
    processed = whole.only(routing.processed)
    assert list(processed.texts) == [b"out", b"warn", b"out", b"bad"]
    assert [*processed.only(routing.kept).ids] == [0, 3, 4]
    assert list(processed.only(routing.forwarded).levels) == [7, 9]
    assert len(whole.only(Levels.parse(""))) == 0
    assert whole.only(Levels.parse("*")) is whole


def test_levels_that_make_no_sense_are_refused() -> None:
    with pytest.raises(BadInput, match="99"):
        Routing.of(LogLevels(loglevels_ac="99"))


def test_messages_that_are_larger_than_a_body_leave_in_several() -> None:
    sent = Sent()
    sent.forwarder.add(run(*[b"x" * (BODY_BYTES // 3)] * 4))
    assert sent.batches == [2, 2]
    assert [row["id"] for row in sent.rows] == [0, 1, 2, 3]
