"""Desired sets and reports with the items of each kind as structs, for tests and benchmarks of the link."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.modules import MODULE, DesiredInstance
from quarterdeck.model.services import SERVICE, DesiredService


def desired_set(
    revision: int, *, modules: Sequence[DesiredInstance] = (), services: Sequence[DesiredService] = ()
) -> DesiredSet:
    """Return a desired set of these modules and services."""
    kinds: dict[str, Sequence[msgspec.Struct]] = {MODULE: modules, SERVICE: services}
    placements = {kind: tuple(map(_encoded, things)) for kind, things in kinds.items() if things}
    return DesiredSet(revision=revision, placements=placements)


def _encoded(thing: msgspec.Struct) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(thing))
