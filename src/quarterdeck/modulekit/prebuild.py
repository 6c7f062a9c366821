"""`python -m quarterdeck.modulekit.prebuild`: compile the artefacts of a wheel, so that no host needs a compiler.

These are the agent's WASM guests and the built-in modules. It owns the folder of the latter, which it replaces as a
whole. It compiles only sources that changed.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from quarterdeck.modulekit.builtin import PREBUILT, SOURCES, Builtins
from quarterdeck.wasm.build import build_guests


def prebuild(sources: Path = SOURCES, prebuilt: Path = PREBUILT) -> tuple[str, ...]:
    """Build every module folder of `sources` into `prebuilt`, and return their names, sorted."""
    builtins = Builtins(sources, prebuilt)
    prebuilt.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=prebuilt.parent, prefix=".builtin-") as name:
        fresh = Path(name) / "builtin"
        fresh.mkdir()
        for module in builtins.names():
            built = builtins.get(module)
            (fresh / f"{module}.json").write_bytes(msgspec.json.format(msgspec.json.encode(built.build), indent=1))
            for sha256, content in built.artefacts.items():
                (fresh / sha256).write_bytes(content)
        shutil.rmtree(prebuilt, ignore_errors=True)
        fresh.rename(prebuilt)
    return builtins.names()


if __name__ == "__main__":
    for guest in build_guests():
        sys.stdout.write(f"{guest.name}\n")
    for module_name in prebuild():
        sys.stdout.write(f"{module_name}\n")
