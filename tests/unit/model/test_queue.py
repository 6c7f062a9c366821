"""The contents of Redis: the requirement document's names and JSON, on which clients in other languages depend."""

from __future__ import annotations

import msgspec

from quarterdeck.model.jobs import JobState
from quarterdeck.model.queue import COMMANDS, QueuedCommand, QueuedMessage, QueuedResult, log_of, results_of


def test_the_lists_have_the_documents_names() -> None:
    assert (COMMANDS, results_of("7")) == ("cmds_queue", "cmds_queue_7")
    assert log_of("shop", "backup") == "log.shop.backup"
    assert log_of("", "") == "log.unknown.unknown"


def test_a_command_is_read_as_the_document_writes_it() -> None:
    written = b'{"id":"7","gid":1,"nid":2,"cmd":"get_msgs","args":{"max_time":5},"data":{"levels":"1-6"}}'
    assert msgspec.json.decode(written, type=QueuedCommand) == QueuedCommand(
        id="7", gid=1, nid=2, cmd="get_msgs", args={"max_time": 5}, data={"levels": "1-6"}
    )


def test_a_result_has_the_documents_fields_and_then_ours() -> None:
    result = QueuedResult(
        id="7", gid=1, nid=2, cmd="execute", args={"cmd": "true"}, data="[1]", state=JobState.OK, time=8, starttime=9
    )
    assert msgspec.json.encode(result) == (
        b'{"id":"7","gid":1,"nid":2,"cmd":"execute","args":{"cmd":"true"},"data":"[1]","state":"OK","time":8,'
        b'"starttime":9,"level":0,"code":null,"reason":"","critical":"","streams":["",""],"tags":"","jobs":1}'
    )


def test_a_result_has_one_of_the_documents_states_or_says_why_there_is_none() -> None:
    states = [str(state) for state in JobState]
    assert states[3:7] == ["OK", "ERROR", "TIMEOUT", "KILLED"]
    assert states[7:] == ["UNKNOWN_CMD", "REFUSED", "EXPIRED", "LOST"]


def test_a_message_has_the_documents_fields_and_where_it_is_from() -> None:
    message = QueuedMessage(
        jobdomain="shop", jobname="backup", epoch=1, level=7, id=2, data="full", gid=3, nid=4, jobid="5"
    )
    assert msgspec.json.encode(message) == (
        b'{"jobdomain":"shop","jobname":"backup","epoch":1,"level":7,"id":2,"data":"full","gid":3,"nid":4,"jobid":"5"}'
    )
