"""Joining over the real wire: one token, one node; everything else is refused with a message, and logged."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from quarterdeck.agent.identity import FILE_NAME, load_identity
from quarterdeck.agent.joining import Joining
from quarterdeck.link.certificates import (
    Credentials,
    certificate_to_pem,
    certificates_from_pem,
    key_from_pem,
    key_to_pem,
    new_key,
    new_request,
)
from quarterdeck.link.join_tokens import new_join_token, parse
from quarterdeck.link.messages import PROTOCOL_VERSION, FromAgent, Hello, JoinRequest, ToAgent
from quarterdeck.link.wire import Stream
from quarterdeck.link.wires import agent_wire
from quarterdeck.model.errors import (
    BadConfig,
    BadInput,
    TokenExpired,
    TokenUsed,
    Unauthenticated,
    Unavailable,
)
from quarterdeck.model.nodes import Facts
from quarterdeck.testing.link import LinkServer


async def greet(control: Stream[ToAgent, FromAgent]) -> ToAgent | None:
    await control.send(Hello(protocol=PROTOCOL_VERSION, facts=Facts()))
    return await control.receive()


def joining(home: Path, address: str) -> Joining:
    return Joining(home, wire=agent_wire(address), address=address, name="web-1", labels={}, facts=Facts())


async def test_a_token_gives_an_identity_that_is_kept(server: LinkServer, tmp_path: Path) -> None:
    node = joining(tmp_path / "node", server.address)
    identity = await node.identity(await server.new_token())
    assert (identity.agent.gid, identity.agent.nid) == (1, 1)
    assert load_identity(tmp_path / "node") == identity
    assert stat.S_IMODE((tmp_path / "node" / FILE_NAME).stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "node").iterdir()] == [FILE_NAME]
    await server.stop()
    assert await node.identity("") == identity  # needs no server
    await server.start()


async def test_an_identity_is_kept_when_a_token_is_given_again(server: LinkServer, tmp_path: Path) -> None:
    node = joining(tmp_path, server.address)
    identity = await node.identity(await server.new_token())
    assert await node.identity(await server.new_token()) == identity
    assert len(server.fleet.used) == 1


async def test_a_used_token_is_refused(server: LinkServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = await server.new_token()
    await joining(tmp_path / "one", server.address).identity(token)
    with pytest.raises(TokenUsed, match="joins one node only"):
        await joining(tmp_path / "two", server.address).identity(token)
    assert "token_used" in caplog.text
    assert "127.0.0.1" in caplog.text
    assert load_identity(tmp_path / "two") is None


async def test_a_good_join_is_not_logged_as_a_refused_handshake(
    server: LinkServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.patience_s = 1.0
    await server.stop()
    await server.start()
    await joining(tmp_path, server.address).identity(await server.new_token())
    await asyncio.sleep(1.3)
    assert "refused" not in caplog.text


async def test_an_expired_token_is_refused(server: LinkServer, tmp_path: Path) -> None:
    token = await server.new_token()
    server.fleet.expired.add(parse(token).token_id)
    with pytest.raises(TokenExpired):
        await joining(tmp_path, server.address).identity(token)


async def test_a_token_the_server_never_made_is_refused(
    server: LinkServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token, _, _ = new_join_token(server.authority.fingerprint)
    with pytest.raises(Unauthenticated, match="does not know this join token"):
        await joining(tmp_path, server.address).identity(token)


async def test_a_token_of_another_server_is_refused_before_anything_is_sent(server: LinkServer, tmp_path: Path) -> None:
    async with LinkServer(tmp_path / "other") as other:
        with pytest.raises(Unauthenticated, match="not the one that made this join token"):
            await joining(tmp_path / "node", server.address).identity(await other.new_token())
    assert server.fleet.used == set()


@pytest.mark.parametrize("address", ["nonsense", "host:", ":x"])
async def test_an_address_that_is_none_is_refused_in_words(tmp_path: Path, address: str) -> None:
    with pytest.raises(BadConfig, match="not a server's address"):
        await joining(tmp_path, address).identity(new_join_token(bytes(32))[0])


async def test_no_server_is_unavailable_and_the_same_key_asks_again(server: LinkServer, tmp_path: Path) -> None:
    token = await server.new_token()
    await server.stop()
    node = joining(tmp_path / "node", server.address)
    with pytest.raises(Unavailable):
        await node.identity(token)
    await server.start()
    await node.identity(token)


async def test_neither_identity_nor_token_is_a_clear_error(server: LinkServer, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="has not joined") as caught:
        await joining(tmp_path, server.address).identity("")
    assert "qd token create" in caught.value.hint


async def test_garbage_for_a_token_is_a_clear_error(server: LinkServer, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="begins with qd1_"):
        await joining(tmp_path, server.address).identity("garbage")


@pytest.mark.parametrize("damage", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
async def test_a_damaged_identity_is_a_clear_error(server: LinkServer, tmp_path: Path, damage: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(damage)
    with pytest.raises(BadConfig, match="damaged") as caught:
        await joining(tmp_path, server.address).identity("")
    assert "join again" in caught.value.hint


async def test_an_identity_with_anothers_key_is_damaged(server: LinkServer, tmp_path: Path) -> None:
    one, two = server.credentials(nid=1), server.credentials(nid=2)
    (tmp_path / FILE_NAME).write_bytes(one.key_pem + two.certificate_pem + two.ca_pem)
    with pytest.raises(BadConfig, match="another key"):
        load_identity(tmp_path)


async def test_an_expired_identity_needs_a_token(tmp_path: Path) -> None:
    async with LinkServer(tmp_path / "server", certificate_days=0.00002) as server:
        node = joining(tmp_path / "node", server.address)
        credentials = server.credentials()
        (tmp_path / "node").mkdir()
        (tmp_path / "node" / FILE_NAME).write_bytes(
            credentials.key_pem + credentials.certificate_pem + credentials.ca_pem
        )
        await asyncio.sleep(2)
        with pytest.raises(Unauthenticated, match="expired"):
            await node.identity("")


async def test_join_credentials_open_nothing_but_join(server: LinkServer) -> None:
    token = parse(await server.new_token())
    link = server.link(
        Credentials(key_pem=token.key_pem, certificate_pem=token.certificate_pem, ca_pem=server.authority.pem)
    )
    control, telemetry = link.control(), link.telemetry()
    with pytest.raises(Unauthenticated):
        await control.receive()
    with pytest.raises(Unauthenticated):
        await telemetry.receive()
    await link.close()


async def test_node_credentials_do_not_join(server: LinkServer) -> None:
    link = server.link(server.credentials())
    with pytest.raises(Unauthenticated, match="join token"):
        await link.join(JoinRequest(csr_pem=new_request(new_key(), "x"), name="x"))
    await link.close()


async def test_a_token_holder_cannot_make_node_certificates(server: LinkServer) -> None:
    """A join certificate is a trust root of the handshake; what it signs must be believed by nobody."""
    token = parse(await server.new_token())
    issuer, issuer_key, key = certificates_from_pem(token.certificate_pem)[0], key_from_pem(token.key_pem), new_key()
    victim = certificates_from_pem(server.credentials(nid=1).certificate_pem)[0]
    forged = (
        x509.CertificateBuilder()
        .subject_name(victim.subject)
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(victim.serial_number)
        .not_valid_before(victim.not_valid_before_utc)
        .not_valid_after(victim.not_valid_after_utc)
        .add_extension(victim.extensions.get_extension_for_class(x509.SubjectAlternativeName).value, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    for chain in (certificate_to_pem(forged), certificate_to_pem(forged) + token.certificate_pem):
        link = server.link(Credentials(key_pem=key_to_pem(key), certificate_pem=chain, ca_pem=server.authority.pem))
        control = link.control()
        with pytest.raises((Unauthenticated, Unavailable)):
            await greet(control)
        await link.close()
    assert server.fleet.arrivals == []
