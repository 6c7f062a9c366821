"""The desired set: all that one node should be running, under one revision number. Always the whole, never a delta."""

from __future__ import annotations

from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import Build
from quarterdeck.model.services import DesiredService
from quarterdeck.model.struct import Wire


class DesiredInstance(Wire, frozen=True, kw_only=True):
    """One module this node should run."""

    id: str
    module_id: str
    build: Build
    settings: dict[str, SettingValue] = {}


class DesiredSet(Wire, frozen=True, kw_only=True):
    """Everything one node should run. The agent compares it with what runs and makes them equal."""

    revision: int
    instances: tuple[DesiredInstance, ...] = ()
    services: tuple[DesiredService, ...] = ()
