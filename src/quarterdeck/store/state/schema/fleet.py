"""The fleet of this state."""

from __future__ import annotations

from sqlalchemy import Column, Named, Table, TypedColumns

from quarterdeck.store.state.schema.metadata import metadata


class FleetColumns(TypedColumns):
    """The fleet of this state, in one row. `ca_sha256` is "" while the fleet is being founded."""

    number: Named[int] = Column(primary_key=True, autoincrement=False)
    ca_sha256: Named[str]


fleet = Table("fleet", metadata, FleetColumns)
