"""The services of the server that tools use."""

from __future__ import annotations

from typing import NamedTuple

from quarterdeck.server.about import About
from quarterdeck.server.audit import Audit
from quarterdeck.server.jobs.commands import Commands
from quarterdeck.server.messages.messages import Messages
from quarterdeck.server.modules import Modules
from quarterdeck.server.nodes import Nodes
from quarterdeck.server.queries import Queries
from quarterdeck.server.services import Services
from quarterdeck.server.tables import Tables


class Backend(NamedTuple):
    """The components of the server that tools use. `api.app` supplies them."""

    about: About
    audit: Audit
    commands: Commands
    messages: Messages
    modules: Modules
    nodes: Nodes
    queries: Queries
    services: Services
    tables: Tables
