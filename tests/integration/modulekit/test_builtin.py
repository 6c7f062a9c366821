"""The built-in modules: built from a checkout's sources, or read as the wheel has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from quarterdeck.model.errors import NotFound, NotInstalled
from quarterdeck.modulekit.builtin import SOURCES, Builtins
from quarterdeck.modulekit.prebuild import prebuild

NOWHERE = Path("/nonexistent")


@pytest.fixture(scope="module")
def prebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prebuilt") / "builtin"
    prebuild(SOURCES, folder)
    return folder


def test_every_module_of_the_checkout_is_built_in(prebuilt: Path) -> None:
    folders = sorted(path.parent.name for path in SOURCES.glob("*/module.toml"))
    assert list(Builtins(NOWHERE, prebuilt).names()) == folders
    assert list(Builtins().names()) == folders


async def test_the_wheels_are_those_of_the_checkout(prebuilt: Path) -> None:
    shipped = Builtins(NOWHERE, prebuilt)
    for name in shipped.names():
        assert await shipped.load(name) == await Builtins().load(name)


async def test_no_module_of_that_name(prebuilt: Path) -> None:
    with pytest.raises(NotFound, match=r"no built-in module 'exec'.*Did you mean 'execs'"):
        await Builtins(NOWHERE, prebuilt).load("exec")


def test_damage_is_noticed(prebuilt: Path) -> None:
    shipped = Builtins(NOWHERE, prebuilt)
    artefact = prebuilt / Builtins(NOWHERE, prebuilt).get("opens").build.object.sha256
    content = artefact.read_bytes()
    artefact.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(NotInstalled, match="'opens' is damaged"):
        shipped.get("opens")
    artefact.write_bytes(content)
