"""What is found in the queue of commands: every byte string is a request or a mistake in words."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.nodes import Selector
from quarterdeck.server.redis.requests import Mistake, Request, read


def asked(**fields: Any) -> Request | Mistake:
    return read(msgspec.json.encode({"id": "one", "cmd": "ping", **fields}))


def made(**fields: Any) -> CreateCommand:
    found = asked(**fields)
    assert isinstance(found, Request), found
    return found.create


def test_a_node_or_roles_are_named() -> None:
    assert made(gid=1, nid=2) == CreateCommand(id="one", cmd="ping", selector=Selector(nodes=("1/2",)))
    assert made(gid=None, roles=["web", "db"]).selector == Selector(roles=("web", "db"))
    assert made(gid=3, roles=["*"]).selector == Selector(gid=3)
    assert made(roles=["web"]).any
    assert not made(roles=["web"], fanout=True).any


@pytest.mark.parametrize(("data", "text"), [(None, ""), ("plain", "plain"), ({"id": 1}, '{"id":1}'), ([1], "[1]")])
def test_data_is_text_or_json(data: object, text: str) -> None:
    assert made(gid=1, nid=2, data=data).data == text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"gid": 1}, "found neither"),
        ({"gid": 1, "nid": 1, "roles": ["web"]}, "found both"),
        ({"gid": 1, "nid": 1, "fanout": True}, "fanout"),
        ({"roles": [""]}, "empty"),
        ({"gid": 1, "nid": 1, "args": []}, "Expected `object | null`"),
        ({"gid": 1, "nid": 1, "tags": "x" * 1001}, "tags"),
        ({"gid": 1, "nid": 1, "expires": 5}, "unknown field"),
    ],
)
def test_a_mistake_says_what_is_wrong_and_whose_it_is(fields: dict[str, Any], words: str) -> None:
    found = asked(**fields)
    assert isinstance(found, Mistake)
    assert found.id == "one"
    assert words in found.reason


@given(st.binary() | st.recursive(st.none() | st.text(), st.lists).map(msgspec.json.encode))
def test_anything_is_read(found: bytes) -> None:
    assert isinstance(read(found), Request | Mistake)


def test_what_is_nested_too_deep_is_a_mistake() -> None:
    assert isinstance(read(b'{"id":"a","args":' + b"[" * 100_000), Mistake)


def test_a_server_without_redis_does_not_pay_for_it() -> None:
    look = "import sys, quarterdeck.server.server; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
