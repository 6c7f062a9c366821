"""Commands."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, Named, Table, TypedColumns

from quarterdeck.model.nodes import Selector
from quarterdeck.store.state.schema.metadata import metadata
from quarterdeck.store.state.types import Json


class CommandColumns(TypedColumns):
    """A command for some nodes. `number` grows with every command, and orders them."""

    number: Named[int] = Column(primary_key=True)
    id: Named[str] = Column(nullable=False, unique=True)
    cmd: Named[str]
    args: Named[dict[str, Any]] = Column(Json(dict[str, Any]))
    data: Named[str] = Column(Json(str))
    selector: Named[Selector] = Column(Json(Selector))
    actor: Named[str]
    role: Named[str]
    create_time: Named[float]
    expires_at: Named[float | None]
    ended_at: Named[float | None]  #: when the last of its jobs got its result
    script: Named[str | None]  #: the sha256 of the script that it runs


command = Table("command", metadata, CommandColumns)
Index(None, command.c.ended_at)
Index(None, command.c.script)
