"""Saved queries: SQL under a name, which everybody who may query the tables can run.

`version` is a digest of what was saved. A request that changes a query states the version that it replaces, so that
nobody overwrites the change of another unseen.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec

from quarterdeck.model.struct import Struct


class QueryView(StrEnum):
    """How a saved query's answer is shown first in the web UI."""

    TABLE = "table"
    CHART = "chart"  #: its numbers over its time


class SaveQuery(Struct, frozen=True, kw_only=True):
    """The body of saveQuery. `replaces` is the version of the query that this replaces; "" saves a new one."""

    sql: str
    description: str = ""
    view: QueryView = QueryView.TABLE
    replaces: str = ""

    @property
    def version(self) -> str:
        """Return a digest of what is saved, without `replaces`."""
        saved = msgspec.json.encode((self.sql, self.description, self.view))
        return hashlib.sha256(saved).hexdigest()[:16]


class SavedQuery(Struct, frozen=True, kw_only=True):
    """A saved query. Times are seconds since the epoch."""

    name: str
    sql: str
    description: str
    view: QueryView
    version: str  #: a digest of the SQL, the description and the view
    actor: str  #: name of the API token that created it
    create_time: float
    changed_by: str  #: name of the API token that changed it last
    last_update_time: float
