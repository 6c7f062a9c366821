"""A server's address: its form chooses the wire; an invalid one is refused with an error."""

from __future__ import annotations

import pytest

from quarterdeck.link.address import Carrier, ServerAddress, parse_address
from quarterdeck.link.grpc.agent import GrpcAgentWire
from quarterdeck.link.https.agent import HttpsAgentWire
from quarterdeck.link.wires import agent_wire
from quarterdeck.model.errors import BadConfig


@pytest.mark.parametrize(
    ("text", "carrier", "host", "port", "prefix"),
    [
        ("fleet.example:8421", Carrier.GRPC, "fleet.example", 8421, ""),
        ("grpc://fleet.example:8421", Carrier.GRPC, "fleet.example", 8421, ""),
        ("[::1]:8421", Carrier.GRPC, "::1", 8421, ""),
        ("https://fleet.example", Carrier.HTTPS, "fleet.example", 443, ""),
        ("https://fleet.example/", Carrier.HTTPS, "fleet.example", 443, ""),
        ("HTTPS://Fleet.Example:8443/a/b/", Carrier.HTTPS, "fleet.example", 8443, "/a/b"),
        ("https://[fd00::7]/x", Carrier.HTTPS, "fd00::7", 443, "/x"),
    ],
)
def test_an_address_is_carrier_host_port_and_prefix(
    text: str, carrier: Carrier, host: str, port: int, prefix: str
) -> None:
    assert parse_address(text) == ServerAddress(carrier=carrier, host=host, port=port, prefix=prefix)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        ":1",
        "host:x",
        "host:0",
        "host:65536",
        "host:1/prefix",
        "http://host:1",
        "ftp://host:1",
        "https://",
        "https://:443",
        "https://host:0",
        "https://host:65536",
        "https://me:secret@host",
        "https://host/a?b",
        "https://host/a#b",
        "https://host/a b",
        "https://host/ä",
        "https://hö.st",
        "https://ho st",
        "https://host\r\nx: y",
        "https://ho\nst",
        "https://[::1",
    ],
)
def test_what_is_no_address_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadConfig, match="not a server's address") as caught:
        parse_address(text)
    assert "https://host:port" in caught.value.hint


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert parse_address("https://[::1]:8443").netloc == "[::1]:8443"
    assert parse_address("fleet:8421").netloc == "fleet:8421"


def test_the_form_chooses_the_wire() -> None:
    assert isinstance(agent_wire("fleet:8421"), GrpcAgentWire)
    assert isinstance(agent_wire("https://fleet/x"), HttpsAgentWire)
