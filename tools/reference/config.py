"""config.md: every key of the configuration, where it can be set and what it is without."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from quarterdeck.cli.config import OTHERS, SECTIONS, SHORT, SYSTEM_FILE
from quarterdeck.model.extensions import ExtensionConfig
from tools.reference.markdown import code, default, members, struct, summary, table

_INTRODUCTION = f"""# Configuration

A value is taken from the last of these that has it: the default, the TOML file, the environment, the command's flag.
The file is `$QD_CONFIG`, else `quarterdeck.toml` in the data folder, else `{SYSTEM_FILE}`; `--config` names
another. One file serves both halves, in the tables `[server]` and `[agent]`. An unknown key or variable is an error.
`qd config show server` and `qd config show agent` print what holds, and where each value came from;
of a token, a password in a URL and the `env` of an extension only that they are set.

In the environment, a list is written `a,b` and a map `name=value,name=value`.
"""
_VARIABLES = {
    "QD_HOME": "the data folder, of every command",
    "QD_HTTP": "where the API is: of a server its own address, of other commands the server to ask",
    "QD_LINK": "where agents connect: of a server its own address, of an agent the server's",
    "QD_REDIS": "the Redis that a server takes commands from, a URL",
    "QD_TOKEN": "the API token of commands that ask a server",
    "QD_CONFIG": "the configuration file",
    "QD_CACHE": "the folder of compiled objects and generated headers; default: the user's cache folder",
    "QD_LOG": "what server and agent log: `DEBUG`, `INFO` (default), `WARNING`, `ERROR`",
}


def page() -> str:
    """The page."""
    assert set(_VARIABLES) == OTHERS - {"QD_REQUIRE_ALL"}, "a variable without a description, or the reverse"
    parts = [_INTRODUCTION]
    for section, kind in SECTIONS.items():
        short = {key: name for name, key in SHORT[section].items()}
        rows = [
            (code(key), type_, value, code(short.get(key) or _variable(section, key)), meaning)
            for key, type_, value, meaning in _keys(kind)
        ]
        parts += [f"## [{section}]\n\n{summary(kind)}\n", table(("key", "type", "default", "environment", ""), rows)]
    parts += [
        f"## [agent.extensions.NAME]\n\n{summary(ExtensionConfig)} See [scripts](../guide/scripts.md).\n",
        struct(ExtensionConfig),
        "## Variables\n",
        table(("variable", "meaning"), [(code(name), text) for name, text in _VARIABLES.items()]),
    ]
    return "\n".join(parts)


def _variable(section: str, key: str) -> str:
    return f"QD_{section}_{key}".upper().replace(".", "__")


def _keys(kind: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    said, typed = members(kind)
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _keys(field.type, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, code(typed[field.name]), default(field), said[field.name]
