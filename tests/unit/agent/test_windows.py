"""The half of the agent that runs things imports nothing at module level that only Linux has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
HALF = json.loads((ROOT / "pyrightconfig.windows.json").read_text())
_HIDE = """
import importlib, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name in {"fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog", "pyroute2"}:
            raise ModuleNotFoundError(f"No module named {name!r}: this is not Linux", name=name)

import os, select, signal, socket
# the standard library's own modules may use what they find here: they are imported before it is hidden
import asyncio, concurrent.futures, logging.handlers, multiprocessing, shutil, sqlite3, subprocess, tempfile, threading
import msgspec, numpy, psutil
for name in ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Hidden())
for module, names in {
    os: ("O_CLOEXEC", "O_DIRECTORY", "O_NONBLOCK", "geteuid", "getuid", "uname", "fork", "statvfs", "fchown"),
    select: ("epoll", "poll"),
    signal: ("SIGKILL", "SIGHUP", "SIGCHLD", "SIGUSR1"),
    socket: ("AF_NETLINK", "AF_PACKET", "SCM_RIGHTS", "SO_PEERCRED"),
}.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def _modules() -> list[str]:
    left_out = {ROOT / path for path in HALF["exclude"]}
    found: list[Path] = []
    for path in HALF["include"]:
        place = ROOT / path
        found += [place] if place.is_file() else sorted(place.rglob("*.py"))
    names = [path.relative_to(ROOT / "src").with_suffix("") for path in found if path not in left_out]
    return [".".join(name.parts).removesuffix(".__init__") for name in names]


def test_it_is_imported_without_what_only_linux_has() -> None:
    names = _modules()
    assert len(names) > 40
    run = subprocess.run([sys.executable, "-c", _HIDE, *names], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
