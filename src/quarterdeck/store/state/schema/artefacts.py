"""Artefacts, and the builds that name them."""

from __future__ import annotations

from sqlalchemy import Column, Named, Table, TypedColumns

from quarterdeck.model.modules import Build
from quarterdeck.store.state.schema.metadata import metadata
from quarterdeck.store.state.types import Json


class BuildColumns(TypedColumns):
    """A build, by the digest of its whole content: it never changes."""

    digest: Named[str] = Column(primary_key=True)
    body: Named[Build] = Column(Json(Build))
    created_at: Named[float]


class ArtefactColumns(TypedColumns):
    """The bytes of an artefact. They are stored here, not in files, so that all servers of a shared store have them."""

    sha256: Named[str] = Column(primary_key=True)
    size: Named[int]
    body: Named[bytes]


build = Table("build", metadata, BuildColumns)
artefact = Table("artefact", metadata, ArtefactColumns)
