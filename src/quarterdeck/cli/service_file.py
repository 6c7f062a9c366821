"""Reads a file of services: `[service.NAME]` tables in TOML. What is wrong is said with its place.

What one service comes after is checked by the server, which knows the others.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

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
    """What a file says."""

    services: tuple[Service, ...]
    group: str = ""


def read_services(path: Path, *, selector: Selector) -> ServiceFile:
    """The services of a file, in its order; `selector` is that of those that name none. `BadInput`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from error
    return parse_services(content, name=str(path), selector=selector)


def parse_services(content: bytes, *, name: str, selector: Selector) -> ServiceFile:
    """The same of bytes; `name` is what the file is called."""
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
    if not isinstance(tables, dict) or not tables:
        raise BadInput(f"{name} holds no service.", hint='Begin with [service.NAME] and command = ["PROGRAM"].')
    if not isinstance(group, str):
        raise BadInput(f'{name}: group is a text, such as group = "shop"; found {group!r}.')
    services = tuple(_service(name, key, table, selector) for key, table in cast("dict[str, Any]", tables).items())
    return ServiceFile(services=services, group=group)


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
        service = msgspec.convert(given | {"name": name}, Service)
    except msgspec.ValidationError as error:
        raise _wrong(file, name, given, error) from error
    except RecursionError as error:
        raise BadInput(f"{place} is nested too deep.") from error
    except BadInput as error:
        raise BadInput(f"{place}: {error.message}", hint=error.hint) from error
    return service if "selector" in given else msgspec.structs.replace(service, selector=selector)


_NO_SHELL = 'There is no shell: write command = ["/bin/sh", "-c", "…"] if you want one.'


def _wrong(file: str, name: str, given: Mapping[str, Any], error: msgspec.ValidationError) -> BadInput:
    """What msgspec says, in words of the file."""
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
    near = difflib.get_close_matches(key, list(known), n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"It may have {', '.join(known)}."
    place = f"{file}: {where} has" if where else f"{file} has"
    return BadInput(f"{place} the key '{key[:100]}', which is not known.", hint=hint)
