"""qd logs: each line after its node, times where they help, pieces joined, problems apart from lines."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from types import SimpleNamespace

import msgspec
import pytest

from quarterdeck.cli import logs
from quarterdeck.cli.logs import Printer
from quarterdeck.model.errors import BadInput, NotFound
from quarterdeck.model.messages import FoundMessages, Mark, NodeMessage

NOON_MS = 1_763_726_400_123
MOMENT = "2025-11-21 12:00:00.123"
Captured = pytest.CaptureFixture[bytes]


def message(data: str, *, level: int = 1, node: str = "web-1", marks: int = 0, raw: bytes = b"") -> NodeMessage:
    nid = int(node[-1])
    return NodeMessage(
        id=1, job_id="j", epoch=NOON_MS, level=level, data=data, marks=marks, raw=raw, gid=1, nid=nid, node=node
    )


def printed(capture: Captured, *messages: NodeMessage, times: bool = False, json: bool = False) -> bytes:
    printer = Printer(times=times, json=json)
    for each in messages:  # one by one, as a follower gets them
        printer.print([each])
    printer.finish()
    return capture.readouterr().out


def test_plain_output_stands_alone_and_all_else_with_its_time_and_level(capsysbinary: Captured) -> None:
    out = printed(capsysbinary, message("one"), message("two", level=2), message("full", level=8))
    assert out.decode().splitlines() == [
        "web-1 j | one",
        f"web-1 j | {MOMENT} stderr: two",
        f"web-1 j | {MOMENT} ops error: full",
    ]


def test_times_can_be_asked_for(capsysbinary: Captured) -> None:
    assert printed(capsysbinary, message("one"), times=True).decode() == f"web-1 j | {MOMENT} stdout: one\n"


def test_each_line_names_its_service_or_job(capsysbinary: Captured) -> None:
    of_service = msgspec.structs.replace(message("one"), job_id="service/web")
    of_nobody = msgspec.structs.replace(message("two"), job_id="")
    assert printed(capsysbinary, of_service, of_nobody) == b"web-1 service/web | one\nweb-1 | two\n"


def test_every_line_of_a_block_stands_after_the_node(capsysbinary: Captured) -> None:
    out = printed(capsysbinary, message("a\nb", level=5), message(""))
    assert out.decode() == f"web-1 j | {MOMENT} log: a\nweb-1 j | {MOMENT} log: b\nweb-1 j | \n"


def test_pieces_of_one_line_are_joined(capsysbinary: Captured) -> None:
    parts = (message("a", marks=Mark.CONTINUES), message("b", marks=Mark.CONTINUES), message("c"), message("next"))
    assert printed(capsysbinary, *parts) == b"web-1 j | abc\nweb-1 j | next\n"


def test_no_two_nodes_share_a_line(capsysbinary: Captured) -> None:
    out = printed(
        capsysbinary,
        message("no end", marks=Mark.CONTINUES),
        message("other", node="web-2"),
        message("open", marks=Mark.CONTINUES),
    )
    assert out == b"web-1 j | no end\nweb-2 j | other\nweb-1 j | open\n"


def test_bytes_are_printed_as_they_were(capsysbinary: Captured) -> None:
    assert printed(capsysbinary, message("\ufffd\ufffd", raw=b"\xff\x00")) == b"web-1 j | \xff\x00\n"


def test_json_is_an_object_a_line(capsysbinary: Captured) -> None:
    out = printed(capsysbinary, message("a\nb"), message("c", raw=b"\xff"), json=True)
    found = [msgspec.json.decode(line, type=NodeMessage) for line in out.splitlines()]
    assert found == [message("a\nb"), message("c", raw=b"\xff")]


def test_a_level_of_a_newer_agent_and_a_time_that_is_none_are_shown(capsysbinary: Captured) -> None:
    odd = msgspec.structs.replace(message("x", level=44), epoch=2**61)
    assert printed(capsysbinary, odd).decode() == f"web-1 j | {2**61} ms level 44: x\n"


def test_problems_are_said_once_and_not_among_the_lines(capsysbinary: Captured) -> None:
    printer = Printer(times=False, json=False)
    printer.print([message("no end", marks=Mark.CONTINUES)])
    printer.complain(["web-2 is [offline]."])
    printer.complain(["web-2 is [offline]."])
    captured = capsysbinary.readouterr()
    assert captured.out == b"web-1 j | no end\n"
    assert captured.err == b"incomplete: web-2 is [offline].\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"since": "yesterday"}, "is no time"),
        ({"follow": True, "until": "1m"}, "without end"),
        ({"job": "a", "service": "b"}, "found both"),
        ({"level": "loud"}, "There is no level 'loud'"),
    ],
)
def test_wrong_options_are_refused_in_words(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        logs.logs(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(("option", "noun"), [("service", "services"), ("job", "commands")])
def test_where_nothing_was_printed_a_name_that_is_none_is_said(
    option: str, noun: str, monkeypatch: pytest.MonkeyPatch, capsysbinary: Captured
) -> None:
    def look_up(name: str) -> None:
        if name == "wbe":
            raise NotFound("There is none 'wbe'.")

    @contextmanager
    def connect() -> Generator[SimpleNamespace]:
        messages = SimpleNamespace(list=lambda *_, **__: FoundMessages(messages=()))
        yield SimpleNamespace(messages=messages, **{noun: SimpleNamespace(get=look_up)})

    def ask(name: str) -> None:
        logs.logs(job=name) if option == "job" else logs.logs(service=name)

    monkeypatch.setattr(logs, "connect", connect)
    with pytest.raises(NotFound, match="wbe"):
        ask("wbe")
    ask("web")
    assert b"Nothing was printed" in capsysbinary.readouterr().err
