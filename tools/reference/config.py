"""config.md: every key of the configuration, where it can be set, and its default."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from quarterdeck.cli.config import OTHERS, SECTIONS, SHORT, SYSTEM_FILE
from quarterdeck.model.extensions import ExtensionConfig
from tools.reference.markdown import code, default, members, struct, summary, table

_INTRODUCTION = f"""# Configuration

A value can be set in four places; a later place overrides an earlier one: the default, the TOML file, the environment,
an option of the command. The file is `$QD_CONFIG`, or else `quarterdeck.toml` in the data folder, or else
`{SYSTEM_FILE}`; `--config` names a different file. One file can configure both server and agent, in the
tables `[server]` and `[agent]`. An unknown key or variable is an error. `qd config show server` and
`qd config show agent` print the values in effect and the source of each value. Tokens, passwords in URLs and the `env`
of extensions are not printed, only that they are set.

In the environment, a list is written `a,b` and a map `name=value,name=value`. A key that is a number of seconds also
accepts a string with units: `"500ms"`, `"1s"`, `"1h30m"`.
"""
_VARIABLES = {
    "QD_HOME": "the data folder, for all commands",
    "QD_HTTP": "the address of the API: where a server listens, and which server other commands use",
    "QD_LINK": "the address of the link: where a server listens, and where an agent connects",
    "QD_REDIS": "the URL of the Redis from which a server takes commands",
    "QD_TOKEN": "the API token of commands that use a server",
    "QD_CONFIG": "the configuration file",
    "QD_CACHE": "the folder of compiled objects and generated headers; default: the user's cache folder",
    "QD_LOG": "the log level of server and agent: `DEBUG`, `INFO` (default), `WARNING`, `ERROR`",
}


def page() -> str:
    """Return the page."""
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
    meanings, typed = members(kind)
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _keys(field.type, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, code(typed[field.name]), default(field), meanings[field.name]
