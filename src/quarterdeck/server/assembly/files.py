"""Files by their hash, on their way to nodes and from them, and the artefacts of modules on theirs."""

from __future__ import annotations

from pathlib import Path

from quarterdeck.server.assembly.context import Context, ServerAssembly
from quarterdeck.server.assembly.fleet import FleetParts
from quarterdeck.server.files.contents import Contents
from quarterdeck.server.files.files import Files
from quarterdeck.server.files.grants import Grants
from quarterdeck.server.files.links import ContentLinks
from quarterdeck.server.files.pulls import Pulls
from quarterdeck.server.files.transfers import Transfers


class FileParts:
    """The files are kept in `folder`."""

    def __init__(self, assembly: ServerAssembly, context: Context, *, fleet: FleetParts, folder: Path) -> None:
        config, database = context.config, context.database
        self.files = Files(folder, limit_bytes=config.files.max_bytes, keep_s=config.files.keep_s, clock=context.clock)
        self.transfers = Transfers()
        contents = Contents(
            files=self.files,
            artefacts=fleet.artefacts,
            grants=Grants(database, artefacts=fleet.artefacts),
            pulls=Pulls(database, files=self.files, transfers=self.transfers),
            transfers=self.transfers,
        )
        assembly.parts.add("unused files", run=self.files.watch)
        assembly.topics.append(ContentLinks(contents))
