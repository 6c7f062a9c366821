"""The configuration: defaults, then the TOML file, then `QD_*` of the environment, then flags, in one struct.

An unknown key is an error, wherever it comes from, and the origin of every value is kept (`qd config show`). The file
is $QD_CONFIG, else quarterdeck.toml in the data folder, else /etc/quarterdeck/quarterdeck.toml.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import msgspec

from quarterdeck.client.endpoint import default_home
from quarterdeck.kit.names import did_you_mean, nearest
from quarterdeck.model.config import AgentConfig, ServerConfig
from quarterdeck.model.durations import with_seconds
from quarterdeck.model.errors import BadConfig, BadInput
from quarterdeck.model.extensions import ExtensionConfig, check_name
from quarterdeck.model.mismatch import in_words
from quarterdeck.model.redaction import redacted

C = TypeVar("C", bound=ServerConfig | AgentConfig)
SECTIONS: dict[str, type[ServerConfig | AgentConfig]] = {"server": ServerConfig, "agent": AgentConfig}
SYSTEM_FILE = Path("/etc/quarterdeck/quarterdeck.toml")

#: short environment names; every other key is QD_SERVER_KEY or QD_AGENT_KEY (a nested one with two underscores)
SHORT = {
    "server": {"QD_HOME": "home", "QD_HTTP": "http", "QD_LINK": "link.address", "QD_REDIS": "redis.url"},
    "agent": {"QD_HOME": "home", "QD_LINK": "server"},
}
#: environment variables that are not keys of a section
OTHERS = frozenset(
    {"QD_HOME", "QD_HTTP", "QD_LINK", "QD_REDIS", "QD_TOKEN", "QD_CONFIG", "QD_CACHE", "QD_LOG", "QD_REQUIRE_ALL"}
)
#: keys of the server that have another name now
MOVED = {
    "link": "link.address",
    "link_https": "link.https",
    "names": "link.names",
    "offline_after_s": "link.offline_after_s",
    "certificate_days": "link.certificate_days",
    "insert_interval_s": "ingest.interval_s",
    "insert_rows": "ingest.rows",
    "command_expires_s": "commands.expires_s",
    "commands_kept": "commands.kept",
    "files_bytes": "files.max_bytes",
    "files_keep_s": "files.keep_s",
    "redis": "redis.url",
    "redis_results_s": "redis.results_s",
    "redis_log_messages": "redis.log_messages",
    "redis_log_s": "redis.log_s",
}


class Loaded(msgspec.Struct, Generic[C], frozen=True):
    """A configuration and, for each key, the origin of its value."""

    config: C
    origins: dict[str, str]


def load(kind: type[C], *, flags: Mapping[str, object], file: Path | None = None) -> Loaded[C]:
    """Return the configuration of `kind`; flags with the value None were not given. Raise `BadConfig`."""
    section = next(name for name, struct in SECTIONS.items() if struct is kind)
    known = dict(_keys(kind))
    values: dict[str, object] = {}
    origins = dict.fromkeys(known, "default")
    path = file or config_file()
    for source, given in (
        (str(path), _from_file(path, section) if path else {}),
        ("environment", _from_environment(section, known)),
        ("flag", {key: value for key, value in flags.items() if value is not None}),
    ):
        for key, value in given.items():
            if key not in known:
                raise _moved(key, source) or _unknown(key, known, source)
            values[key] = _parsed(value, known[key], key=key, source=source)
            origins[key] = source
    values.setdefault("home", str(default_home()))
    return Loaded(config=_build(kind, values), origins=origins)


def config_file(*, system: Path = SYSTEM_FILE) -> Path | None:
    """Return the configuration file that is used, or None when there is none."""
    if given := os.environ.get("QD_CONFIG"):
        return Path(given)
    candidates = (default_home() / "quarterdeck.toml", system)
    return next((path for path in candidates if path.is_file()), None)


def _keys(kind: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a configuration struct with its type; nested ones dotted."""
    for field in msgspec.structs.fields(kind):
        inner: Any = field.type
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            yield from _keys(inner, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, inner


def _from_file(path: Path, section: str) -> dict[str, object]:
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path} is not TOML: {error}.") from error
    for name in content:
        if name not in SECTIONS:
            raise _unknown(name, SECTIONS, str(path))
    table = content.get(section, {})
    if not isinstance(table, dict):
        raise BadConfig(f"{path}: '{section}' should be the table [{section}], not a value or a list.")
    return dict(_flatten(cast("dict[str, Any]", table), SECTIONS[section]))


def _flatten(content: Mapping[str, Any], kind: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted keys of a TOML table, going into the tables that are structs of ours and no further."""
    nested = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in content.items():
        inner = nested.get(key)
        if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            yield from _flatten(value, inner, f"{prefix}{key}.")  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield prefix + key, value


def _from_environment(section: str, known: Mapping[str, Any]) -> dict[str, object]:
    found: dict[str, object] = {key: os.environ[name] for name, key in SHORT[section].items() if name in os.environ}
    prefix = f"QD_{section.upper()}_"
    for name, value in sorted(os.environ.items()):
        if name.startswith(prefix):
            key = name.removeprefix(prefix).lower().replace("__", ".")
            if key not in known:
                raise _moved(key, name) or _unknown(key, known, f"environment ({name})")
            found[key] = value
        elif name.startswith("QD_") and name not in OTHERS and not name.startswith(("QD_SERVER_", "QD_AGENT_")):
            names = sorted(OTHERS | set(SHORT[section]))
            raise _unknown(name, names, "environment")
    return found


def _parsed(value: object, wanted: Any, *, key: str, source: str) -> object:
    """Return the value in its type. Text (environment, flags) can write lists as "a,b" and maps as "k=v,k=v"."""
    from_file = source not in {"environment", "flag"}
    if isinstance(value, str) and wanted is not str and not from_file:
        items = [item for item in value.split(",") if item]
        if wanted == dict[str, str]:
            if bare := next((item for item in items if "=" not in item), None):
                raise BadConfig(f"{key} ({source}): expected name=value,name=value; found '{bare}'.")
            value = {name: text for name, _, text in (item.partition("=") for item in items)}
        elif wanted == tuple[str, ...]:
            value = items
    try:
        value = value if not from_file and _is_number(value) else with_seconds(value, wanted, name=key)
    except BadInput as error:
        raise BadConfig(f"{source}: {error.message}", hint=error.hint) from error
    if wanted == dict[str, ExtensionConfig] and isinstance(value, dict):
        extensions = cast("dict[str, object]", value)
        return {name: _extension(name, each, key=key, source=source) for name, each in extensions.items()}
    try:
        return msgspec.convert(value, wanted, strict=from_file)
    except msgspec.ValidationError as error:
        raise BadConfig(f"{key} = {redacted(key, value)!r} ({source}): {in_words(error, key)}.") from error


def _is_number(value: object) -> bool:
    try:
        float(cast("str", value))
    except (TypeError, ValueError):
        return False
    return True


def _extension(name: str, value: object, *, key: str, source: str) -> ExtensionConfig:
    place = f"{key}.{name}"
    known = {field.name: field for field in msgspec.structs.fields(ExtensionConfig)}
    check_name(name)
    for inner in cast("dict[str, object]", value) if isinstance(value, dict) else ():
        if inner not in known:
            raise _unknown(inner, known, f"{place}, {source}")
    try:
        return msgspec.convert(value, ExtensionConfig)
    except msgspec.ValidationError as error:
        raise BadConfig(f"{place} ({source}): {in_words(error, place)}.") from error
    except BadInput as error:
        raise BadConfig(f"{place} ({source}): {error.message}", hint=error.hint) from error


def _build(kind: type[C], values: Mapping[str, object]) -> C:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *parents, leaf = key.split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value
    return msgspec.convert(tree, kind)


def _moved(key: str, source: str) -> BadConfig | None:
    """Return the error for a key that has another name now, or None for any other key."""
    new = MOVED.get(key)
    if new is None:
        return None
    section, name = new.split(".")
    variable = f"QD_SERVER_{section}__{name}".upper()
    return BadConfig(
        f"'{key}' ({source}) is now '{name}' in the section [server.{section}].",
        hint=f"Write it as '{name} = …' below [server.{section}], or as the variable {variable}.",
    )


def _unknown(key: str, known: Mapping[str, Any] | list[str], source: str) -> BadConfig:
    hint = did_you_mean(nearest(key, known, most=1), otherwise=f"Known are: {', '.join(sorted(known))}.", quote="'")
    return BadConfig(f"'{key}' ({source}) is not a known key.", hint=hint)
