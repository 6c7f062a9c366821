"""A thousand agents on one server: the cost of their heartbeats, and the time to reconnect after its kill.

A server runs as a process. In this process are 1,000 simulated agents (`quarterdeck.testing.agents`): each has joined
with a token of its own and has its own key, certificate, TLS connection, control stream and telemetry stream, and
reconnects as a real one does; they run no modules. What is measured: the CPU of the server while all are linked and
beat every 10 s, and the time from the start of a server, right after the one before it was killed (-9), until it has
welcomed every agent again. The agents share the machine with the server.

The physical limit, in the same run: as many mutual TLS handshakes with the same certificates, one after the other in
one thread, both ends, without a network.

Target: 1,000 connected, heartbeats ≤ 10 % of one core, all back in < 15 s.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any

from bench.measure import Target, note, process_cpu_s, process_rss_mb, report
from quarterdeck.link.certificates import certificate_to_pem, key_to_pem, new_key, new_request
from quarterdeck.model.tokens import CreateJoinToken
from quarterdeck.server.ca import CertificateAuthority
from quarterdeck.server.sessions.credentials import LinkCredentials
from quarterdeck.testing.agents import SimulatedAgents
from tests.fleet import Fleet

AGENTS = 1_000
STEADY_S = 60.0
DEADLINE_S = 120.0


def main() -> None:
    logging.getLogger("quarterdeck.agent.connection").setLevel(logging.ERROR)  # a thousand agents complain alike
    with TemporaryDirectory(prefix="qd-bench-") as folder, Fleet(Path(folder)) as fleet:
        agents = asyncio.run(_join(fleet))
        figures = asyncio.run(_measure(fleet, agents))
    handshakes_s = _handshakes(AGENTS)
    report(
        "agents",
        figures=figures,
        peer={"name": f"limit: {AGENTS} mutual TLS handshakes and nothing else, one thread", "seconds": handshakes_s},
        ratio=handshakes_s / figures["back_s"],
        targets=(
            Target("connected", at_least=AGENTS),
            Target("heartbeat_cpu_percent", at_most=10),
            Target("back_s", at_most=15),
        ),
    )


async def _join(fleet: Fleet) -> SimulatedAgents:
    began = time.monotonic()
    tokens = [fleet.client.tokens.create(CreateJoinToken()).token for _ in range(AGENTS)]
    note(f"{AGENTS} tokens in {time.monotonic() - began:.0f} s")
    agents = await SimulatedAgents.joined(fleet.link, tokens)
    note(f"{AGENTS} joined after {time.monotonic() - began:.0f} s")
    return agents


async def _measure(fleet: Fleet, agents: SimulatedAgents) -> dict[str, Any]:
    began = time.monotonic()
    async with agents:
        async with asyncio.timeout(DEADLINE_S):
            await agents.all_linked()
        linked_s = time.monotonic() - began
        note(f"all linked after {linked_s:.1f} s")
        await asyncio.sleep(10)
        before_s = process_cpu_s(fleet.server.pid)
        await asyncio.sleep(STEADY_S)
        beating = (process_cpu_s(fleet.server.pid) - before_s) / STEADY_S
        rss_mb, connected = process_rss_mb(fleet.server.pid), agents.linked()
        note(f"heartbeats: {beating:.1%} of a core, {rss_mb:.0f} MB")
        fleet.server.kill()
        while agents.linked():  # noqa: ASYNC110 - a clock of the experiment
            await asyncio.sleep(0.01)
        began = time.monotonic()
        fleet.server.start()
        async with asyncio.timeout(DEADLINE_S):
            await agents.all_linked()
        back_s = time.monotonic() - began
        note(f"all back after {back_s:.1f} s, {process_cpu_s(fleet.server.pid):.1f} s of CPU")
    return {
        "connected": connected,
        "heartbeat_cpu_percent": 100 * beating,
        "back_s": back_s,
        "back_server_cpu_s": process_cpu_s(fleet.server.pid),
        "first_link_s": linked_s,
        "server_rss_mb": rss_mb,
    }


def _handshakes(count: int) -> float:
    """Return the seconds for `count` handshakes in which both ends show a certificate of one CA."""
    with TemporaryDirectory(prefix="qd-bench-") as folder:
        authority = CertificateAuthority.open(Path(folder), certificate_days=30)
        key = new_key()
        certificate = authority.issue(new_request(key, "limit"), agent_id="limit", gid=1, nid=1)
        chain = LinkCredentials(authority).server_chain()
        client = _context(ssl.PROTOCOL_TLS_CLIENT, authority, key_to_pem(key) + certificate_to_pem(certificate))
        server = _context(ssl.PROTOCOL_TLS_SERVER, authority, chain.key_pem + chain.certificate_pem)
    began = time.perf_counter()
    for _ in range(count):
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        unfinished = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
        while unfinished:
            unfinished = [end for end in unfinished if not _finished(end)]
    return time.perf_counter() - began


def _context(protocol: int, authority: CertificateAuthority, chain_pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname, context.verify_mode = False, ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.pem.decode())
    with NamedTemporaryFile() as chain:
        chain.write(chain_pem)
        chain.flush()
        context.load_cert_chain(chain.name)
    return context


def _finished(end: ssl.SSLObject) -> bool:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
