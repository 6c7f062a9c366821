"""The groups of a server's services: together they take every message of an agent, each once."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from quarterdeck.link.conversation import Topics
from quarterdeck.model.config import ServerConfig
from quarterdeck.model.tables import Table
from quarterdeck.server.assembly.context import Context, ServerAssembly
from quarterdeck.server.assembly.files import FileParts
from quarterdeck.server.assembly.fleet import FleetParts
from quarterdeck.server.assembly.jobs import JobParts
from quarterdeck.server.assembly.messages import MessageParts
from quarterdeck.server.assembly.modules import ModuleParts
from quarterdeck.server.assembly.services import ServiceParts
from quarterdeck.server.ca import CertificateAuthority
from quarterdeck.server.sessions.links import Links
from quarterdeck.server.sessions.session import TOPIC_MESSAGES, Session
from quarterdeck.server.signals import LocalSignals
from quarterdeck.store.state.database import Database
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from tests.services import FakeBuiltins, fake_builder


async def test_every_message_of_an_agent_is_taken_by_one_topic(tmp_path: Path) -> None:
    async def ensure(_: Table) -> None:
        raise NotImplementedError

    assembly = ServerAssembly()
    context = Context(
        config=ServerConfig(home=str(tmp_path)),
        database=cast("Database", object()),
        links=Links(),
        signals=LocalSignals(),
        name="here",
    )
    authority = CertificateAuthority.open(tmp_path, certificate_days=1)
    fleet = FleetParts(assembly, context, authority=authority)
    jobs = JobParts(assembly, context, fleet=fleet)
    ServiceParts(context, fleet=fleet, jobs=jobs)
    ModuleParts(assembly, context, fleet=fleet, builder=fake_builder, builtins=FakeBuiltins(), ensure_table=ensure)
    FileParts(assembly, context, fleet=fleet, folder=tmp_path / "files")
    MessageParts(assembly, context, jobs=jobs, store=cast("TelemetryStore", object()))
    Topics[Session](assembly.topics, messages=TOPIC_MESSAGES)
