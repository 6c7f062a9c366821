"""The wheel's build hook: compiles WASM guests and built-in modules, so that who installs the wheel needs no compiler.

They are made in a temporary folder; the checkout stays as it is. The compiled modules hold numbers of this
architecture's system calls and registers, hence the wheel's platform tag.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_COMPILE = """
import sys
from pathlib import Path
from quarterdeck.modulekit.builtin import SOURCES
from quarterdeck.modulekit.prebuild import prebuild
from quarterdeck.wasm.build import build_guests

target = Path(sys.argv[1])
prebuild(SOURCES, target / "builtin")
build_guests(target / "wasm" / "guests")
"""


class Prebuild(BuildHookInterface[Any]):
    """Runs before files are gathered. An editable install compiles nothing: a checkout builds from its sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles, or ends the build with the compiler's own words."""
        if version == "editable":
            return
        self._made = tempfile.TemporaryDirectory(prefix="quarterdeck-")
        subprocess.run(
            [sys.executable, "-c", _COMPILE, self._made.name],
            env={**os.environ, "PYTHONPATH": str(Path(self.root) / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
            check=True,
        )
        build_data["force_include"][self._made.name] = "quarterdeck"
        build_data["tag"] = f"py3-none-linux_{platform.machine()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Removes what was compiled: it is in the wheel."""
        if version != "editable":
            self._made.cleanup()
