"""The proxy of the environment, the request for a tunnel, and its credentials, which are never shown."""

from __future__ import annotations

import base64

import pytest

from quarterdeck.link.address import parse_address
from quarterdeck.link.https.http import parse_head
from quarterdeck.link.https.proxy import connect_request, parse_proxy, proxy_of_environment
from quarterdeck.model.errors import BadConfig

PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_without_a_proxy_there_is_none() -> None:
    assert proxy_of_environment("fleet.example") == ""


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_the_environment_names_the_proxy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, PROXY)
    assert proxy_of_environment("fleet.example") == PROXY


@pytest.mark.parametrize(
    ("excepted", "through"),
    [
        ("", True),
        ("*", False),
        ("fleet.example", False),
        ("FLEET.example", False),
        ("other, fleet.example", False),
        ("example", False),
        (".example", False),
        ("xample", True),
        ("leet.example", True),
        ("a.fleet.example", True),
        (" , ,", True),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy_names_hosts_and_domains(
    monkeypatch: pytest.MonkeyPatch, name: str, excepted: str, through: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv(name, excepted)
    assert proxy_of_environment("fleet.Example") == (PROXY if through else "")


@pytest.mark.parametrize(
    ("text", "host", "port", "credentials"),
    [
        (PROXY, "proxy.example", 3128, ""),
        ("proxy.example:3128", "proxy.example", 3128, ""),
        ("http://proxy.example", "proxy.example", 80, ""),
        ("http://[::1]:3128/", "::1", 3128, ""),
        ("http://me:secret@proxy:1", "proxy", 1, "me:secret"),
        ("http://me@proxy:1", "proxy", 1, "me:"),
        ("http://me%40home:p%3A%2F%C3%A4@proxy:1", "proxy", 1, "me@home:p:/ä"),
    ],
)
def test_a_proxy_is_host_port_and_credentials(text: str, host: str, port: int, credentials: str) -> None:
    assert parse_proxy(text) == (host, port, base64.b64encode(credentials.encode()).decode())


@pytest.mark.parametrize(
    "text", ["https://proxy:1", "socks5://me:secret@proxy:1", "http://:1", "http://me:secret@proxy:x"]
)
def test_what_is_no_proxy_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(BadConfig, match="HTTPS_PROXY") as caught:
        parse_proxy(text)
    assert "secret" not in str(caught.value)


def test_a_tunnel_is_asked_for_by_host_and_port() -> None:
    asked = parse_head(connect_request(parse_address("https://[::1]:8443/fleet"), "").removesuffix(b"\r\n\r\n"))
    assert asked.start == "CONNECT [::1]:8443 HTTP/1.1"
    assert asked.headers == {"host": "[::1]:8443", "content-length": "0"}


def test_credentials_go_with_it() -> None:
    asked = parse_head(connect_request(parse_address("https://fleet"), "bWU6").removesuffix(b"\r\n\r\n"))
    assert asked.start == "CONNECT fleet:443 HTTP/1.1"
    assert asked.headers["proxy-authorization"] == "Basic bWU6"
