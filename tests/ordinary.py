"""An ordinary user for tests that run as root: no capabilities, nothing of root's files, a home folder of its own."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tests.support import require

UID = 65534  #: nobody

#: Where the interpreter lies in a folder that is closed to others (a root's own Python), that folder is seen, in this
#: process alone, as one that holds nothing but the interpreter.
_OPEN_UP = """
set -e
if [ -n "$1" ]; then
    kept=$(mktemp -d)
    mount --bind "$2" "$kept"
    mount -t tmpfs -o mode=755 none "$1"
    mkdir -p "$2"
    mount --move "$kept" "$2"
    rmdir "$kept"
fi
shift 2
exec setpriv --reuid UID --regid UID --clear-groups --no-new-privs "$@"
""".replace("UID", str(UID))


def closed_folder(path: Path) -> Path | None:
    """The outermost folder above `path` that others may not look into."""
    return next((each for each in reversed(path.parents) if not each.stat().st_mode & 0o001), None)


def command() -> list[str]:
    """What to put before a command line so that it runs as the ordinary user."""
    require(os.geteuid() == 0, "becoming another user needs root")
    require(shutil.which("setpriv") and shutil.which("unshare"), "becoming another user needs util-linux")
    interpreter = Path(sys.base_prefix).resolve()
    closed = closed_folder(interpreter)
    return ["unshare", "--mount", "sh", "-c", _OPEN_UP, "sh", str(closed or ""), str(interpreter)]


def own(path: Path) -> None:
    """Give a file or folder to the ordinary user."""
    os.chown(path, UID, UID)
