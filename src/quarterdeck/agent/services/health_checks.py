"""A single health check of a service: a program that ends with 0, a port that takes a connection, or a URL.

A program is run by the process manager, like the service itself: in its own tree, which is killed when its time is
over, and which the next agent ends if this one is killed meanwhile. The number of checks at one time is limited.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from quarterdeck.agent.processes.environment import Templates
from quarterdeck.agent.processes.supervised_process import Process
from quarterdeck.agent.processes.supervision import Ending
from quarterdeck.kit.tasks import TaskSet
from quarterdeck.model.jobs import JobState
from quarterdeck.model.processes import ProcessSettings
from quarterdeck.model.services import HealthCheck, Service, parse_address

if TYPE_CHECKING:
    import ssl

    from quarterdeck.agent.processes.supervised_process import SupervisedProcess

#: looks at one time
CHECKS = 16
#: seconds between TERM and KILL of a check's program
GRACE_S = 1.0
#: bytes of an answer's head, and characters of what a program said, that are looked at
_HEAD_BYTES, _WORDS = 16 * 1024, 300


class Keeps(Protocol):
    """The part of the process manager that checks use."""

    def keep(self, process: Process, *, changed: Callable[[], None] = ...) -> SupervisedProcess: ...

    def release(self, process_id: str) -> None: ...


class HealthChecks:
    """Checks the services of one node."""

    def __init__(self, processes: Keeps, templates: Templates) -> None:
        self._processes = processes
        self._templates = templates
        self._turns = asyncio.Semaphore(CHECKS)
        self._life = secrets.token_hex(4)
        self._numbers = itertools.count()
        self._ending = TaskSet()

    async def look(self, service: Service, check: HealthCheck) -> str:
        """Return what is wrong with the service, in words; nothing when it is well."""
        async with self._turns:
            if check.command:
                return await self._run(service, check)
            form = self._connect(check.tcp) if check.tcp else _get(check)
            what = check.tcp or check.http
            try:
                async with asyncio.timeout(check.timeout):
                    return await form
            except TimeoutError:
                return f"{what} did not answer within {check.timeout:g} s"
            except (OSError, EOFError, asyncio.LimitOverrunError, ValueError) as error:
                return f"{what}: {_in_words(error)}"[:_WORDS]

    async def close(self) -> None:
        """Stop waiting for checks that are being ended; the keeper or the next agent ends them."""
        await self._ending.cancel()

    async def _run(self, service: Service, check: HealthCheck) -> str:
        of_service = self._templates.service_settings(service)
        process = Process(
            id=f"service/{service.name}/health/{self._life}-{next(self._numbers)}",
            argv=self._templates.service_argv(check.command),
            settings=ProcessSettings(
                max_time=check.timeout,
                domain=service.domain,
                name=service.name,
                workingdir=of_service.workingdir,
                env=of_service.env,
                user=service.user,
                grace=GRACE_S,
                loglevels_db="",
                loglevels_ac="",
            ),
            cmd="health",
        )
        kept = self._processes.keep(process)
        try:
            ended = await kept.over()
        except asyncio.CancelledError:
            kept.tell(Ending.KILLED)
            self._ending.spawn(self._see_off(kept))
            raise
        self._processes.release(kept.id)
        if ended.state is JobState.OK:
            return ""
        if ended.state is JobState.TIMEOUT:
            return f"{check.command[0]} did not end within {check.timeout:g} s"
        said = " ".join("\n".join(ended.streams).split())[-_WORDS:]
        return f"{check.command[0]}: {ended.reason}{f': {said}' if said else ''}"

    async def _see_off(self, kept: SupervisedProcess) -> None:
        await kept.over()
        self._processes.release(kept.id)

    async def _connect(self, address: str) -> str:
        host, port = parse_address(address)
        _, writer = await asyncio.open_connection(host, port)
        await _close(writer)
        return ""


async def _get(check: HealthCheck) -> str:
    """Return what is wrong with the answer to a GET; only its head is read."""
    url = urlsplit(check.http)
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    context = await asyncio.to_thread(_verifying) if secure else None
    reader, writer = await asyncio.open_connection(url.hostname, port, ssl=context, limit=_HEAD_BYTES)
    try:
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        request = f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\nUser-Agent: quarterdeck\r\nAccept: */*\r\n"
        writer.write(f"{request}Connection: close\r\n\r\n".encode("ascii"))
        status = 100
        while 100 <= status < 200:  # an answer that says only that another comes
            head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]
            protocol, _, rest = head.partition(b" ")
            if not protocol.startswith(b"HTTP/") or not rest[:3].isdigit():
                return f"{check.http}: what answered speaks no HTTP"
            status = int(rest[:3])
    finally:
        await _close(writer)
    return "" if status == check.status else f"{check.http} answered {status}, not {check.status}"


def _in_words(error: Exception) -> str:
    if not isinstance(error, OSError) or not error.strerror:
        return str(error) or type(error).__name__
    if error.errno is not None and error.strerror.startswith("Connect call failed"):  # asyncio's words
        return os.strerror(error.errno)
    return error.strerror


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()  # what is left of the answer is of no interest
    with suppress(OSError):
        await writer.wait_closed()


@functools.cache
def _verifying() -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 (most agents check no https)

    return ssl.create_default_context()
