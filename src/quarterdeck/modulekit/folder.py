"""The files of a module, read from a folder, or checked after they were received, before they are used.

It owns the allowed names and sizes. It never leaves the folder: it follows only links to files inside it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from quarterdeck.model.errors import BadInput, NotFound, TooLarge

MANIFEST = "module.toml"
MAX_FILES = 256
MAX_FILE_BYTES = 16 << 20  # a full vmlinux.h takes 3–4 MB
MAX_TOTAL_BYTES = 32 << 20
MAX_NAME_BYTES = 200

_IGNORED_FOLDERS = frozenset({"__pycache__", "node_modules"})


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the regular files of `folder` and its subfolders, by their path in it. Hidden files are left out."""
    if not folder.is_dir():
        raise NotFound(f"There is no folder '{folder}'.", hint=f"A module is a folder with a {MANIFEST} in it.")
    files: dict[str, bytes] = {}
    total = 0
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        content = _read(folder, path, name)
        total += len(content)
        if len(files) >= MAX_FILES or total > MAX_TOTAL_BYTES:
            raise _too_large(f"'{folder}'")
        files[name] = content
    return files


def _walk(folder: Path) -> list[Path]:
    found: list[Path] = []
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if name not in _IGNORED_FOLDERS and not name.startswith("."))
        for name in folders:
            _check_link(folder, Path(root, name))
        found += [Path(root, name) for name in sorted(names) if not name.startswith(".")]
        if len(found) > 4 * MAX_FILES:
            raise _too_large(f"'{folder}'")
    return found


def _check_link(folder: Path, path: Path) -> None:
    """Raise where `path` is a link that leads out of the folder, or back to a folder that contains it."""
    if not path.is_symlink():
        return
    aim, name = Path(os.path.realpath(path)), path.relative_to(folder).as_posix()  # realpath returns even for a loop
    if not aim.is_relative_to(os.path.realpath(folder)):
        raise BadInput(f"'{name}' is a link that leads out of the module's folder.", hint="Copy the file instead.")
    around = [parent for parent in path.parents if parent == folder or parent.is_relative_to(folder)]
    if aim.is_dir() and any(Path(os.path.realpath(parent)).is_relative_to(aim) for parent in around):
        raise BadInput(f"'{name}' is a link that leads in a circle.", hint="Link to the files instead.")


def _read(folder: Path, path: Path, name: str) -> bytes:
    _check_link(folder, path)
    if not path.is_file():
        raise BadInput(f"'{name}' is not a regular file.", hint="A module's folder may hold plain files only; copy it.")
    try:
        with path.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadInput(f"'{name}' cannot be read: {error.strerror}.") from error
    if len(content) > MAX_FILE_BYTES:
        raise _too_large(f"'{name}'")
    return content


def _too_large(what: str) -> TooLarge:
    return TooLarge(
        f"{what} is too large for a module: at most {MAX_FILES} files, {MAX_FILE_BYTES >> 20} MB each and "
        f"{MAX_TOTAL_BYTES >> 20} MB in all.",
        hint="Point at the module's own folder, and keep captures and build output out of it.",
    )


def check_files(files: Mapping[str, bytes]) -> None:
    """Raise unless every name is a plain path below the folder and the sizes are within limits."""
    if len(files) > MAX_FILES or sum(map(len, files.values())) > MAX_TOTAL_BYTES:
        raise _too_large("The module")
    for name, content in files.items():
        if len(content) > MAX_FILE_BYTES:
            raise _too_large(f"'{name}'")
        path = PurePosixPath(name)
        plain = str(path) == name and not path.is_absolute() and ".." not in path.parts and name not in {"", "."}
        if not plain or len(name.encode()) > MAX_NAME_BYTES or not name.isprintable() or "\\" in name:
            raise BadInput(
                f"{name!r} is not a name for a file of a module.",
                hint="Names are paths below the module's folder, such as 'execs.bpf.c' or 'include/event.h'.",
            )
    folders = {parent.as_posix() for name in files for parent in PurePosixPath(name).parents}
    if both := sorted(folders & files.keys()):
        raise BadInput(f"'{both[0]}' is both a file and a folder of the module.", hint="Rename one of the two.")
    if MANIFEST not in files:
        raise BadInput(
            f"There is no {MANIFEST} in the module.",
            hint="It needs at least a name and a [[table]]; see docs/reference/module-format.md.",
        )
