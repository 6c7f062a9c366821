"""Which requests are for this server and of its own pages."""

from __future__ import annotations

import socket
from typing import Any, cast

import msgspec
import pytest
from litestar.types import Message, Receive, Scope, Send

from quarterdeck.api.origins import is_own_origin, own_names, own_requests_only, scheme
from quarterdeck.model.errors import BadConfig

OWN = own_names("deck.example.org:8420", ["fleet.example.org."])


def scope_of(kind: str = "http", **headers: str) -> Scope:
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    protocol = "http" if kind == "http" else "ws"
    return cast("Scope", {"type": kind, "scheme": protocol, "headers": pairs, "method": "GET", "path": "/"})


async def answered(scope: Scope, names: frozenset[str] = OWN) -> list[dict[str, Any]]:
    """The messages that the client receives; the application sends `app`."""
    sent: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(cast("Message", {"type": "app"}))

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await own_requests_only(app, names)(scope, receive, send)
    return sent


HOSTS_OF_OURS = [
    "deck.example.org",
    "deck.example.org:8420",
    "DECK.example.org.:80",
    "fleet.example.org",
    "localhost:8420",
    "127.0.0.1:8420",
    "192.0.2.1",
    "[::1]:8420",
    "[2001:db8::1]",
    f"{socket.gethostname()}:8420",
]


@pytest.mark.parametrize("host", HOSTS_OF_OURS)
async def test_our_hosts_are_let_in(host: str) -> None:
    assert await answered(scope_of(host=host)) == [{"type": "app"}]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "evil.example.com:8420",
        "127.0.0.1.evil.example.com",
        "localhost.evil.example.com",
        "deck.example.org@evil.example.com",
        "evil.example.com\\@deck.example.org",
        "deck.example.org:8420:1",
        "deck.example.org:evil",
        "2130706433",
        "0x7f.1",
        "127.1",
        "[::1",
        "[evil.example.com]",
        "",
        ":8420",
        "\xe4",
    ],
)
async def test_other_hosts_are_refused_in_words(host: str) -> None:
    start, body = await answered(scope_of(host=host))
    assert start["status"] == 421
    assert (b"content-type", b"application/problem+json") in start["headers"]
    problem = msgspec.json.decode(body["body"])
    assert problem["code"] == "foreign_host"
    assert "server.http_names" in problem["hint"]


async def test_each_host_of_a_request_counts() -> None:
    scope = scope_of(host="localhost")
    scope["headers"] = [*scope["headers"], (b"host", b"evil.example.com")]  # pyright: ignore[reportGeneralTypeIssues]
    assert (await answered(scope))[0]["status"] == 421


async def test_a_request_without_a_host_is_of_no_browser() -> None:
    assert await answered(scope_of()) == [{"type": "app"}]


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("http://localhost:8420", True),
        ("https://localhost:8420", False),
        ("http://localhost", False),
        ("http://evil.example.com", False),
        ("http://localhost:8420.evil.example.com", False),
        ("null", False),
    ],
)
async def test_an_origin_is_ours_when_it_is_the_host_of_the_request(origin: str, own: bool) -> None:
    scope = scope_of(host="localhost:8420", origin=origin)
    assert is_own_origin(scope) is own
    sent = await answered(scope)
    assert (sent == [{"type": "app"}]) is own
    if not own:
        assert sent[0]["status"] == 403
        assert msgspec.json.decode(sent[1]["body"])["code"] == "foreign_origin"


async def test_a_browser_may_say_itself_that_a_page_is_ours() -> None:
    """So it is behind a proxy that does not pass the host on."""
    scope = scope_of(host="127.0.0.1:8420", origin="https://deck.example.org", sec_fetch_site="same-origin")
    assert is_own_origin(scope)
    assert await answered(scope) == [{"type": "app"}]
    other = scope_of(host="127.0.0.1:8420", origin="https://deck.example.org", sec_fetch_site="same-site")
    assert not is_own_origin(other)


def test_a_request_that_states_no_origin_is_not_known_to_be_of_our_page() -> None:
    assert not is_own_origin(scope_of(host="localhost"))
    assert not is_own_origin(scope_of())


async def test_a_proxy_says_that_the_client_used_https() -> None:
    assert scheme(scope_of()) == scheme(scope_of(x_forwarded_proto="http, https")) == "http"
    scope = scope_of(host="deck.example.org", origin="https://deck.example.org", x_forwarded_proto="https")
    assert scheme(scope) == "https"
    assert await answered(scope) == [{"type": "app"}]


async def test_a_websocket_is_refused_before_it_is_accepted() -> None:
    scope = scope_of("websocket", host="localhost", origin="http://evil.example.com")
    (closed,) = await answered(scope)
    assert closed["type"] == "websocket.close"
    assert await answered(scope_of("websocket", host="localhost", origin="http://localhost")) == [{"type": "app"}]


async def test_what_is_no_request_is_passed_on() -> None:
    assert await answered(cast("Scope", {"type": "lifespan"})) == [{"type": "app"}]


@pytest.mark.parametrize("name", ["https://deck.example.org", "deck.example.org:443", "", "*", "a b"])
def test_what_is_no_name_cannot_be_configured(name: str) -> None:
    with pytest.raises(BadConfig, match="http_names"):
        own_names("127.0.0.1:8420", [name])
