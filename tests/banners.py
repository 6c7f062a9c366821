"""A third kind of placement, on both halves: banners, which a node shows. Nothing of the product knows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.nodes import Selector
from quarterdeck.model.struct import Name, Text, Wire
from quarterdeck.server.placement.kind import Declared
from quarterdeck.store.state.placements import StoredPlacement

BANNER = "banner"
DOWN = "It fell down."


class Banner(Wire, frozen=True, kw_only=True):
    """What a node is told of a banner."""

    name: Name
    text: Text


class BannerStatus(Wire, frozen=True, kw_only=True):
    """What an agent reports of a banner."""

    name: Name
    revision: int
    shown: bool = False
    reason: Text = ""


class Banners:
    """A third kind of placement."""

    name = BANNER
    status = BannerStatus

    def __init__(self) -> None:
        self.texts: dict[str, tuple[str, Selector]] = {}
        self.described: list[str] = []

    async def declared(self, transaction: AsyncConnection) -> Sequence[Declared]:
        return [Declared(name, text, selector) for name, (text, selector) in self.texts.items()]

    async def describe(self, transaction: AsyncConnection, versions: Mapping[str, str]) -> Mapping[str, Banner]:
        self.described += versions
        return {name: Banner(name=name, text=version) for name, version in versions.items()}

    def name_of(self, status: BannerStatus) -> str:
        return status.name

    def unreported(self, placement: StoredPlacement, *, sent: bool) -> BannerStatus:
        return BannerStatus(name=placement.key.name, revision=placement.revision)


class ShownBanners:
    """The banners of one node: what acts on its part of a desired set."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.shown: dict[str, BannerStatus] = {}
        self.texts: list[str] = []
        self._changed = changed

    async def apply(self, wanted: Sequence[Banner], *, revision: int) -> None:
        self.shown = {banner.name: BannerStatus(name=banner.name, revision=revision, shown=True) for banner in wanted}
        self.texts = [banner.text for banner in wanted]

    def statuses(self) -> Sequence[BannerStatus]:
        return list(self.shown.values())

    def fall(self, name: str) -> None:
        """A banner is shown no more."""
        self.shown[name] = BannerStatus(name=name, revision=self.shown[name].revision, reason=DOWN)
        self._changed()
