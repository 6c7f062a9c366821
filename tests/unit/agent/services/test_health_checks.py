"""Looks at ports and URLs: what answers, what does not, what answers with something else, within their time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from quarterdeck.agent.processes.environment import Templates
from quarterdeck.agent.processes.processes import Processes
from quarterdeck.agent.services.health_checks import HealthChecks
from quarterdeck.model.services import HealthCheck, Service
from tests.fleet import free_port

WEB = Service(name="web", command=("web",))


async def look(check: HealthCheck) -> str:
    return await HealthChecks(cast("Processes", None), Templates(Path("/nowhere"))).look(WEB, check)


@asynccontextmanager
async def answering(*pieces: bytes, context: ssl.SSLContext | None = None, hold: bool = False) -> AsyncGenerator[int]:
    """A port that sends these, whatever it is asked."""
    held = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if hold:
                await held.wait()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(cast("Callable[..., Awaitable[None]]", serve), "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        held.set()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("pieces", "found"),
    [
        ((b"HTTP/1.1 200 OK\r\n\r\n",), ""),
        ((b"HTTP/1.0 200\r\nA: b\r\n\r\nbody" * 3,), ""),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"), ""),
        ((b"HTTP/1.1 503 Busy\r\n\r\n",), "answered 503, not 200"),
        ((b"SSH-2.0-OpenSSH\r\n\r\n",), "speaks no HTTP"),
        ((b"HTTP/1.1 2x0\r\n\r\n",), "speaks no HTTP"),
        ((b"HTTP/1.1 200 OK\r\n",), "bytes read"),
        ((), "bytes read"),
        ((b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 10_000,), "limit"),
    ],
)
async def test_a_url_is_well_when_its_status_is_the_one(pieces: tuple[bytes, ...], found: str) -> None:
    async with answering(*pieces) as port:
        said = await look(HealthCheck(http=f"http://127.0.0.1:{port}/a?b=c"))
    assert (said == "") if not found else (found in said), said


async def test_another_status_may_be_the_right_one() -> None:
    async with answering(b"HTTP/1.1 401 No\r\n\r\n") as port:
        assert await look(HealthCheck(http=f"http://127.0.0.1:{port}", status=401)) == ""


async def test_one_that_does_not_answer_costs_its_timeout_and_no_more() -> None:
    async with answering(hold=True) as port:
        assert "within 0.05 s" in await look(HealthCheck(http=f"http://127.0.0.1:{port}/", timeout=0.05))


async def test_a_port_is_well_when_it_takes_a_connection() -> None:
    async with answering() as port:
        assert await look(HealthCheck(tcp=f"127.0.0.1:{port}")) == ""
    assert "Connection refused" in await look(HealthCheck(tcp=f"127.0.0.1:{free_port()}"))
    assert "no.such.host.invalid" in await look(HealthCheck(tcp="no.such.host.invalid:1"))


async def test_of_https_the_certificate_is_checked(tmp_path: Path) -> None:
    from quarterdeck.server.ca import CertificateAuthority  # noqa: PLC0415

    authority = CertificateAuthority.open(tmp_path, certificate_days=1)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    leaf = authority.server_leaf(("127.0.0.1",))
    key.write_bytes(leaf.key_pem)
    certificate.write_bytes(leaf.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n", context=context) as port:
        assert "certificate verify failed" in await look(HealthCheck(http=f"https://127.0.0.1:{port}/"))
