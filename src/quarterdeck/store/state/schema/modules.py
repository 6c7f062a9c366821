"""Modules."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Named, Table, TypedColumns

from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import ModuleState
from quarterdeck.model.nodes import Selector
from quarterdeck.store.state.schema.metadata import metadata
from quarterdeck.store.state.types import Json, Word

Settings = dict[str, SettingValue]


class ModuleColumns(TypedColumns):
    """A module: which build of it the fleet should run, where, and with which settings."""

    id: Named[str] = Column(primary_key=True)
    name: Named[str] = Column(nullable=False, unique=True)
    digest: Named[str] = Column(ForeignKey("build.digest"))
    builtin: Named[bool]
    desire_state: Named[ModuleState] = Column(Word(ModuleState))
    selector: Named[Selector] = Column(Json(Selector))
    settings: Named[Settings] = Column(Json(dict[str, SettingValue]))
    create_time: Named[float]
    last_update_time: Named[float]


module = Table("module", metadata, ModuleColumns)
