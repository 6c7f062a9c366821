"""The server: stores, services and the link put together, started in order and ended in the opposite one.

Owns nothing but that order. The API calls the services that are its attributes; the link calls `Fleet`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from quarterdeck import __version__
from quarterdeck.link.grpc.server import GrpcServerWire
from quarterdeck.link.https.server import HttpsServerWire
from quarterdeck.link.wire import ServerWire
from quarterdeck.model.config import ServerConfig
from quarterdeck.model.errors import NotInstalled, Unavailable
from quarterdeck.model.server import ServerInfo
from quarterdeck.modulekit.build import Built, build_module
from quarterdeck.modulekit.builtin import Builtins
from quarterdeck.server.audit import Audit
from quarterdeck.server.ca import CertificateAuthority
from quarterdeck.server.desired import Desired
from quarterdeck.server.files.artefacts import Artefacts
from quarterdeck.server.files.files import Files
from quarterdeck.server.files.pulls import Pulls
from quarterdeck.server.files.transfers import Transfers
from quarterdeck.server.fleet import Fleet
from quarterdeck.server.home import Home
from quarterdeck.server.ingest.ingest import Ingest
from quarterdeck.server.ingest.inserts import Inserts
from quarterdeck.server.instances import Instances
from quarterdeck.server.jobs.commands import Commands
from quarterdeck.server.jobs.jobs import Jobs
from quarterdeck.server.jobs.ledger import Ledger
from quarterdeck.server.jobs.output import Output
from quarterdeck.server.jobs.schedules import Schedules
from quarterdeck.server.joins import Joins
from quarterdeck.server.messages.messages import Messages
from quarterdeck.server.modules import Modules
from quarterdeck.server.nodes import Nodes
from quarterdeck.server.queries import Queries
from quarterdeck.server.services import Services
from quarterdeck.server.sessions.links import Links
from quarterdeck.server.sessions.sessions import Sessions
from quarterdeck.server.tables import Tables
from quarterdeck.server.tail import Tail
from quarterdeck.server.tokens import Tokens
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.ingest import IngestJournal
from quarterdeck.store.telemetry.clickhouse import TelemetryStore, open_store

log = logging.getLogger(__name__)


class Server:
    """One server. Its services are there after `start`."""

    nodes: Nodes
    tokens: Tokens
    modules: Modules
    commands: Commands
    files: Files
    transfers: Transfers
    schedules: Schedules
    services: Services
    messages: Messages
    output: Output
    audit: Audit
    tables: Tables
    queries: Queries
    tail: Tail

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self._ending = AsyncExitStack()
        self._started_at = 0.0
        self._http = config.http

    async def start(self) -> None:
        """Opens the stores, then the link. What was opened is closed again when something fails.

        Raises `Conflict` (the home is in use), `BadConfig`, `StorageCorrupt`, `Unavailable`.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        log.info("the server is up: link on %s, data in %s", " and ".join(self._sessions.addresses), self._home.folder)

    async def stop(self) -> None:
        """Ends sessions, stores what is waiting, closes the stores; in this order."""
        await self._ending.aclose()

    async def publish(self, http: str) -> None:
        """The API listens here: this machine's CLI may know."""
        self._http = http
        await asyncio.to_thread(self._home.publish, http)

    async def info(self) -> ServerInfo:
        """Version, addresses and stores."""
        nodes, online = await self.nodes.count()
        return ServerInfo(
            version=__version__,
            link=self._link,
            link_https=self._sessions.addresses[1] if self.config.link_https else "",
            http=self._http,
            state_store=self._database.kind,
            telemetry_store=self._store.kind,
            started_at=self._started_at,
            nodes=nodes,
            nodes_online=online,
        )

    async def check_ready(self) -> None:
        """`Unavailable` unless both stores answer."""
        await self.nodes.count()
        if not await asyncio.to_thread(self._store.healthy):
            raise Unavailable("The telemetry store does not answer.")

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────
    @property
    def _link(self) -> str:
        return self._sessions.addresses[0]

    async def _start(self) -> None:
        config = self.config
        self._home = await asyncio.to_thread(Home, config.home)
        self._ending.callback(self._home.release)
        self._database = await Database.open(config.state_url or f"sqlite:///{self._home.state}")
        self._ending.push_async_callback(self._database.close)
        self._store = await self._open_telemetry()
        self._ending.push_async_callback(asyncio.to_thread, self._store.close)
        journal = IngestJournal(self._database)
        self.tables = Tables(self._store, journal)
        await self.tables.start()
        ingest = Ingest(
            Inserts(self._store, journal), self.tables, interval_s=config.insert_interval_s, rows=config.insert_rows
        )
        fleet = self._make_services(ingest)
        self._make_readers(ingest)
        await ingest.start()
        self._ending.push_async_callback(ingest.stop)
        await self.nodes.set_all_offline()
        await self.tokens.write_local_admin(self._home.admin_token)
        wires: list[ServerWire] = [GrpcServerWire(config.link)]
        if config.link_https:
            wires.append(HttpsServerWire(config.link_https))
        self._sessions = Sessions(fleet, authority=self._authority, wires=wires, names=config.names)
        self._links.attach(self._sessions)
        self._ending.push_async_callback(self._sessions.stop)
        await self._sessions.start()
        if config.redis:
            await self._open_redis(ingest)
        self._run(self.nodes.watch(), "silence")
        self._run(self.commands.watch(), "expired jobs")
        self._run(self.schedules.watch(), "schedules")
        self._run(self.files.watch(), "unused files")
        self._run(self.modules.register_builtins(), "built-in modules")
        self._started_at = time.time()

    async def _open_redis(self, ingest: Ingest) -> None:
        try:
            from quarterdeck.server.redis.gateway import Gateway  # noqa: PLC0415 (most servers have none)
        except ModuleNotFoundError as error:
            raise NotInstalled(f"The way in through Redis needs '{error.name}'.", hint=_INSTALL) from error
        gateway = Gateway(
            self.config,
            self._database,
            self._store,
            commands=self.commands,
            ledger=self._ledger,
            audit=self.audit,
            ingest=ingest,
            name=await asyncio.to_thread(self._home.name),
        )
        self._ending.push_async_callback(gateway.stop)
        gateway.start()
        log.info("commands are taken from Redis at %s", gateway.address)

    async def _open_telemetry(self) -> TelemetryStore:
        config = self.config
        return await asyncio.to_thread(
            lambda: open_store(
                url=config.telemetry_url, path=self._home.telemetry, memory_bytes=config.store_memory_bytes
            )
        )

    def _make_services(self, ingest: Ingest) -> Fleet:
        config, database = self.config, self._database
        self._authority = CertificateAuthority.open(self._home.folder, certificate_days=config.certificate_days)
        self._links = links = Links()
        artefacts = Artefacts(database)
        self.transfers = Transfers()
        self.files = Files(self._home.files, limit_bytes=config.files_bytes, keep_s=config.files_keep_s)
        desired = Desired(database, artefacts=artefacts)
        instances = Instances(database, desired=desired)
        self.audit = Audit(database, entries=config.audit_entries)
        self._ledger = ledger = Ledger(self.audit)
        self.nodes = Nodes(
            database, desired=desired, links=links, ledger=ledger, offline_after_s=config.offline_after_s
        )
        self.commands = Commands(database, ledger=ledger, links=links, kept=config.commands_kept)
        self.schedules = Schedules(database, commands=self.commands)
        self.services = Services(database, desired=desired, links=links, commands=self.commands)
        self.messages = Messages(database, links=links, store=self._store)
        self.output = Output(self.commands, self.messages)
        self.tokens = Tokens(database, ca_fingerprint=self._authority.fingerprint, gid=config.gid, links=links)
        self.modules = Modules(
            database,
            artefacts=artefacts,
            desired=desired,
            instances=instances,
            links=links,
            builder=_build,
            builtins=Builtins(Path(config.modules)) if config.modules else Builtins(),
            ensure_table=self.tables.ensure,
        )
        return Fleet(
            nodes=self.nodes,
            joins=Joins(database, authority=self._authority, desired=desired, links=links, ledger=ledger),
            tokens=self.tokens,
            desired=desired,
            instances=instances,
            services=self.services,
            artefacts=artefacts,
            files=self.files,
            pulls=Pulls(database, files=self.files, transfers=self.transfers),
            transfers=self.transfers,
            jobs=Jobs(database, ledger=ledger),
            telemetry=ingest,
        )

    def _make_readers(self, ingest: Ingest) -> None:
        self.tail = Tail(self._store, self.tables)
        self.queries = Queries(
            self._store,
            self.tables,
            offline=self.modules.offline_nodes,
            memory_bytes=self.config.query_memory_bytes,
        )
        ingest.listen(self.tail.arrived)
        ingest.listen(self.queries.arrived)
        self._ending.push_async_callback(self.queries.stop)

    def _run(self, work: Coroutine[None, None, None], name: str) -> None:
        """Runs `work` until the server stops. It must not fail; if it does, that is logged and the server goes on."""
        task = asyncio.create_task(work, name=name)

        def ended(done: asyncio.Task[None]) -> None:
            if not done.cancelled() and done.exception() is not None:
                log.error("%s ended by a fault of ours", name, exc_info=done.exception())

        async def end() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        task.add_done_callback(ended)
        self._ending.push_async_callback(end)


_INSTALL = "Install it: pip install 'quarterdeck[server]'."
#: compiling takes seconds; in a thread of its own it never keeps inserts and queries waiting for one
_compiler = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compile")


async def _build(files: Mapping[str, bytes]) -> Built:
    return await asyncio.get_running_loop().run_in_executor(_compiler, build_module, files)
