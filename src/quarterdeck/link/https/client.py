"""The agent's HTTP connections: one kept alive for each lane, opened when needed, through a proxy if one is set.

A request whose connection breaks is repeated once over a new one, so requests must be safe to repeat. Owns its sockets.
Never follows a redirect and never stores a cookie.
"""

from __future__ import annotations

import asyncio
import ssl

from quarterdeck.link.address import ServerAddress
from quarterdeck.link.certificates import SERVER_NAME
from quarterdeck.link.https.http import HEAD_LIMIT_BYTES, read_body, read_head, write_message
from quarterdeck.link.https.proxy import connect_request, parse_proxy
from quarterdeck.model.errors import QuarterdeckError, Unavailable

CONNECT_TIMEOUT_S = 15.0
_BROKEN = (OSError, EOFError, ssl.SSLError)
Answer = tuple[int, dict[str, str], bytes]


class Lane:
    """One connection; requests on it wait for each other."""

    def __init__(self, address: ServerAddress, context: ssl.SSLContext, *, proxy: str = "") -> None:
        self._address = address
        self._context = context
        self._proxy = proxy
        self._busy = asyncio.Lock()
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes, *, headers: dict[str, str], timeout_s: float, repeat: bool) -> Answer:
        """Return the answer; raise `Unavailable` on a timeout or a broken connection (twice, if `repeat`)."""
        async with self._busy:
            try:
                return await self._post(path, body, headers, timeout_s)
            except Unavailable:
                if not repeat:
                    raise
                return await self._post(path, body, headers, timeout_s)

    def close(self) -> None:
        """Close the connection."""
        if self._open is not None:
            self._open[1].transport.abort()
            self._open = None

    async def _post(self, path: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Answer:
        whole = False
        try:
            async with asyncio.timeout(timeout_s):
                if self._open is None:
                    self._open = await connect(self._address, self._context, proxy=self._proxy)
                reader, writer = self._open
                writer.write(
                    write_message(
                        f"POST {self._address.prefix}/link/{path} HTTP/1.1",
                        {"host": self._address.netloc, "content-type": "application/octet-stream", **headers},
                        body,
                    )
                )
                await writer.drain()
                head = await read_head(reader, idle_s=timeout_s)
                if head is None:
                    raise Unavailable("The connection failed: the server closed it.")
                answer = head.status(), head.headers, await read_body(reader, head.length)
                whole = head.headers.get("connection", "") != "close"
                return answer
        except TimeoutError as error:
            raise Unavailable(f"The server did not answer within {timeout_s:g} s.") from error
        except _BROKEN as error:
            raise Unavailable(f"The connection failed: {error}.", hint=_hint(error)) from error
        finally:
            if not whole:
                self.close()


async def connect(
    address: ServerAddress, context: ssl.SSLContext, *, proxy: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a TLS connection to the server; raise `Unavailable`, or an `OSError`."""
    host, port, authority = (address.host, address.port, "") if not proxy else parse_proxy(proxy)
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(host, port, limit=HEAD_LIMIT_BYTES)
        try:
            if proxy:
                await _tunnel(reader, writer, address, authority)
            await writer.start_tls(context, server_hostname=SERVER_NAME)
        except BaseException:
            writer.transport.abort()
            raise
    return reader, writer


async def _tunnel(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: ServerAddress, authority: str
) -> None:
    writer.write(connect_request(address, authority))
    try:
        head = await read_head(reader, idle_s=CONNECT_TIMEOUT_S)
        status = head.status() if head is not None else 0
    except QuarterdeckError as error:
        raise Unavailable(f"The proxy's answer is not valid: {error}") from error
    if status != 200:
        raise Unavailable(f"The proxy refused a tunnel to {address.netloc} with status {status}.")


def _hint(error: Exception) -> str:
    foreign = isinstance(error, ssl.SSLCertVerificationError)
    return "Its certificate does not come from the CA this node trusts: is it another server?" if foreign else ""
