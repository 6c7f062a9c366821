"""The wheel's build hook: compiles WASM guests and built-in modules and builds the web UI, so that users of the wheel
need no compiler and no Node.

The compiled files are created in a temporary folder, the UI in `ui/dist`. The compiled modules contain numbers of this
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
    """A hook that runs before files are collected. It compiles nothing for an editable install: a checkout builds from
    its sources.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, or end the build with the compiler's output."""
        if version == "editable":
            return
        self._made = tempfile.TemporaryDirectory(prefix="quarterdeck-")
        subprocess.run(
            [sys.executable, "-c", _COMPILE, self._made.name],
            env={**os.environ, "PYTHONPATH": str(Path(self.root) / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
            check=True,
        )
        subprocess.run([sys.executable, "-m", "tools.ui"], cwd=self.root, check=True)
        build_data["force_include"][self._made.name] = "quarterdeck"
        build_data["force_include"][str(Path(self.root) / "ui" / "dist")] = "quarterdeck/ui"
        build_data["tag"] = f"py3-none-linux_{platform.machine()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Remove the compiled files, which are in the wheel."""
        if version != "editable":
            self._made.cleanup()
