"""The built-in modules: compiled when the wheel is built, or from `modules/` in a checkout.

This module owns their location and the choice between the two. A checkout with a compiler always builds from the
sources (from the cache, unless they changed), so that an edit is never masked by an older build; otherwise the prebuilt
ones are used.
"""

from __future__ import annotations

import asyncio
import hashlib
from functools import cached_property
from pathlib import Path

import msgspec

from quarterdeck.model.errors import NotFound, NotInstalled
from quarterdeck.model.modules import Build
from quarterdeck.modulekit.build import Built, build_module
from quarterdeck.modulekit.folder import MANIFEST, read_folder
from quarterdeck.modulekit.names import nearest

#: folder of prebuilt modules: NAME.json is a Build; its artefacts are in the same folder, each named by its sha256
PREBUILT = Path(__file__).parents[1] / "builtin"
#: folder of the sources in a checkout; empty in an installed wheel
SOURCES = Path(__file__).parents[3] / "modules"


class Builtins:
    """The built-in modules by name, each built at its first use."""

    def __init__(self, sources: Path = SOURCES, prebuilt: Path = PREBUILT) -> None:
        self._sources = sources
        self._prebuilt = prebuilt
        self._built: dict[str, Built] = {}

    def names(self) -> tuple[str, ...]:
        """Return their names, sorted."""
        return self._names

    @cached_property
    def _names(self) -> tuple[str, ...]:
        folders = [manifest.parent.name for manifest in self._sources.glob(f"*/{MANIFEST}")]
        return tuple(sorted(folders or [build.stem for build in self._prebuilt.glob("*.json")]))

    async def load(self, name: str) -> Built:
        """Return the finished module. Raise `NotFound` if none exists, `NotInstalled` if it cannot be built."""
        return await asyncio.to_thread(self.get, name)

    def get(self, name: str) -> Built:
        """Return the same as `load`, without an event loop."""
        if name not in self._names:
            raise NotFound(f"There is no built-in module '{name}'.", hint=nearest(name, self._names))
        if name not in self._built:
            self._built[name] = self._get(name)
        return self._built[name]

    def _get(self, name: str) -> Built:
        if not (self._sources / name / MANIFEST).is_file():
            return self._read(name)
        try:
            return build_module(read_folder(self._sources / name))
        except NotInstalled:
            if not (self._prebuilt / f"{name}.json").is_file():
                raise
            return self._read(name)

    def _read(self, name: str) -> Built:
        build = msgspec.json.decode((self._prebuilt / f"{name}.json").read_bytes(), type=Build)
        wanted = [build.object.sha256, *(artefact.sha256 for artefact in build.transforms)]
        artefacts = {sha256: (self._prebuilt / sha256).read_bytes() for sha256 in wanted}
        damaged = [sha256 for sha256, content in artefacts.items() if hashlib.sha256(content).hexdigest() != sha256]
        if damaged:
            raise NotInstalled(
                f"The built-in module '{name}' is damaged ({damaged[0]}).", hint="Install quarterdeck again."
            )
        return Built(build=build, artefacts=artefacts)
