"""Peers from PyPI, each in its own virtual environment, kept in the cache folder for the next run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from bench.measure import note
from quarterdeck.modulekit import cache


def environment(requirement: str) -> Path | None:
    """Return the folder of the programs of `requirement` ("salt==3008.3"); return None if it cannot be installed."""
    folder = cache.folder() / "peers" / requirement.replace("==", "-")
    if (folder / "done").is_file():
        return folder / "bin"
    shutil.rmtree(folder, ignore_errors=True)
    note(f"installing {requirement}")
    for command in (
        [sys.executable, "-m", "venv", folder],
        [folder / "bin" / "python", "-m", "pip", "install", "--quiet", requirement],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            note(f"{requirement} cannot be installed: {done.stderr.strip()[-300:]}")
            return None
    (folder / "done").touch()
    return folder / "bin"
