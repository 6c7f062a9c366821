"""Commands that came through Redis."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Named, Table, TypedColumns

from quarterdeck.store.state.schema.metadata import metadata
from quarterdeck.store.state.types import Json


class RedisCommandColumns(TypedColumns):
    """A command that came through Redis. Results of jobs whose `change` is above `delivered` are not delivered yet."""

    command: Named[int] = Column(ForeignKey("command.number", ondelete="CASCADE"), primary_key=True)
    digest: Named[str]  #: of the request: the same request again is not another command
    tags: Named[str] = Column(Json(str))
    jobs: Named[int]
    delivered: Named[int] = Column(BigInteger)


redis_command = Table("redis_command", metadata, RedisCommandColumns)
