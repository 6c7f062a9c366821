"""The file of services: `[service.NAME]` tables in TOML. Every error names its place in the file.

The server, which knows the other services, checks `after`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from quarterdeck.cli.text import unreadable
from quarterdeck.kit.names import did_you_mean, nearest
from quarterdeck.model.durations import with_seconds
from quarterdeck.model.errors import BadInput
from quarterdeck.model.mismatch import in_words
from quarterdeck.model.nodes import Selector
from quarterdeck.model.services import HealthCheck, Service
from quarterdeck.model.struct import Struct

#: bytes of a file; a thousand services take less
FILE_LIMIT_BYTES = 4 * 1024 * 1024
_KEYS = ("group", "service")
_TABLES: dict[str, type[msgspec.Struct]] = {"health": HealthCheck, "selector": Selector}
_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$\.?(.*)`)?", re.DOTALL)


class ServiceFile(Struct, frozen=True, kw_only=True):
    """The contents of a file of services."""

    services: tuple[Service, ...]
    group: str = ""
    without_selector: tuple[str, ...] = ()  #: names of the services whose tables have none


_EMPTY = (
    'Begin with [service.NAME] and command = ["PROGRAM"]. To end all services of a group, leave its `group` in the '
    "file, and use --prune."
)


def read_services(path: Path, *, selector: Selector, prune: bool = False) -> ServiceFile:
    """Return the services of a file, in its order; `selector` applies to those without one. Raise `BadInput`.

    The path `-` is standard input.

    With `prune`, a file that names its group may contain no services.
    """
    if str(path) == "-":
        content = sys.stdin.buffer.read(FILE_LIMIT_BYTES + 1)
        return parse_services(content, name="Standard input", selector=selector, prune=prune)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    return parse_services(content, name=str(path), selector=selector, prune=prune)


def parse_services(content: bytes, *, name: str, selector: Selector, prune: bool = False) -> ServiceFile:
    """Parse services from bytes; `name` is the name of the file."""
    if len(content) > FILE_LIMIT_BYTES:
        raise BadInput(f"{name} has {len(content)} bytes; a file of services has at most {FILE_LIMIT_BYTES}.")
    try:
        found = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise BadInput(f"{name} is not TOML: {error}.") from error
    for key in found:
        if key not in _KEYS:
            raise _unknown(name, key, _KEYS)
    tables, group = found.get("service", {}), found.get("group", "")
    if not isinstance(tables, dict) or not (tables or (prune and group)):
        raise BadInput(f"{name} holds no service.", hint=_EMPTY)
    if not isinstance(group, str):
        raise BadInput(f'{name}: group is a text, such as group = "shop"; found {group!r}.')
    named = cast("dict[str, Any]", tables)
    services = tuple(_service(name, key, table, selector) for key, table in named.items())
    without = tuple(key for key, table in named.items() if "selector" not in table)
    return ServiceFile(services=services, group=group, without_selector=without)


def _service(file: str, name: str, table: object, selector: Selector) -> Service:
    place = f"{file}: [service.{name}]"
    if not isinstance(table, dict):
        raise BadInput(f"{place} is a table; found {table!r}.")
    given = cast("dict[str, Any]", table)
    if "name" in given:
        raise BadInput(f"{place}: a service's name is that of its table; take the key 'name' out.")
    if isinstance(given.get("command"), str):
        raise BadInput(f"{place}: command is a list, the program and its arguments; found a text.", hint=_NO_SHELL)
    try:
        service = msgspec.convert(with_seconds(given, Service) | {"name": name}, Service)
    except msgspec.ValidationError as error:
        raise _wrong(file, name, given, error) from error
    except RecursionError as error:
        raise BadInput(f"{place} is nested too deep.") from error
    except BadInput as error:
        raise BadInput(f"{place}: {error.message}", hint=error.hint) from error
    return service if "selector" in given else msgspec.structs.replace(service, selector=selector)


_NO_SHELL = 'There is no shell: write command = ["/bin/sh", "-c", "…"] if you want one.'


def _wrong(file: str, name: str, given: Mapping[str, Any], error: msgspec.ValidationError) -> BadInput:
    """Return an error of msgspec in terms of the file."""
    place = f"service.{name}"
    unknown = _UNKNOWN.fullmatch(str(error))
    if unknown is not None:
        inner = unknown[2] or ""
        kind = _TABLES.get(inner, Service)
        known = [key for key in kind.__struct_fields__ if (kind, key) != (Service, "name")]
        return _unknown(file, unknown[1], known, where=f"[{place}.{inner}]" if inner else f"[{place}]")
    if "command" not in given:
        return BadInput(f"{file}: [{place}] has no command.", hint='Write command = ["PROGRAM", "ARGUMENT"].')
    return BadInput(f"{file}: [{place}]: {in_words(error, 'it')}.")


def _unknown(file: str, key: str, known: Iterable[str], *, where: str = "") -> BadInput:
    hint = did_you_mean(nearest(key, known, most=1), otherwise=f"It may have {', '.join(known)}.", quote="'")
    place = f"{file}: {where} has" if where else f"{file} has"
    return BadInput(f"{place} the key '{key[:100]}', which is not known.", hint=hint)
