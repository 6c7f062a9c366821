"""Extensions: commands that a node's own configuration adds. Each is a program with templates for its arguments.

[agent.extensions.backup]
binary = "/usr/local/bin/backup"
args = ["--target={target}", "--level={level:1}"]
user = "backup"
max_time = 3600
"""

from __future__ import annotations

import re

from quarterdeck.model.errors import BadConfig
from quarterdeck.model.processes import ProcessSettings

#: the settings of an extension that a command's arguments may set; only the node's configuration sets the others
SETTABLE = (
    "max_time", "max_restart", "recurring_period", "domain", "name",
    "stats_interval", "loglevels", "loglevels_db", "loglevels_ac",
)  # fmt: skip
#: `{name}`, `{name:default}`, or a doubled brace, which stands for one brace
_PART = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)(?::([^{}]*))?\}|[{}]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


class ExtensionConfig(ProcessSettings, frozen=True, kw_only=True):
    """A command of this node: a program that runs without a shell, and its settings.

    A command can override the settings in `SETTABLE`; the others are fixed.
    """

    binary: str  #: the program, by its full path or found in PATH; may begin with `$agentroot`, `$root` or `$tmp`
    #: `{name}` is the command's argument of that name, `{name:default}` an optional argument; `$agentroot`, `$root`
    #: and `$tmp` are replaced
    args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.binary:
            raise BadConfig("An extension needs a binary, the program that it runs; found none.")
        for template in self.args:
            words(template)

    @property
    def names(self) -> frozenset[str]:
        """Return the names of the arguments that the templates use."""
        return frozenset(name for template in self.args for _, name, _ in words(template) if name)


def words(template: str) -> list[tuple[str, str, str | None]]:
    """Return the parts of a template: text, the name of the argument after it ("" for none), and its default.

    Raise `BadConfig` when a brace does not belong to an argument.
    """
    parts: list[tuple[str, str, str | None]] = []
    text, at = "", 0
    for match in _PART.finditer(template):
        text += template[at : match.start()]
        at = match.end()
        if match[0] in {"{", "}"}:
            raise BadConfig(
                f"The template '{template}' has a '{match[0]}' that belongs to no argument.",
                hint="Write {name} or {name:default}; write a literal brace twice.",
            )
        if match[1]:
            parts.append((text, match[1], match[2]))
            text = ""
        else:
            text += match[0][0]
    return [*parts, (text + template[at:], "", None)]


def check_name(name: str) -> None:
    """Raise `BadConfig` unless `name` is valid for an extension."""
    if not _NAME.fullmatch(name):
        raise BadConfig(
            f"'{name[:100]}' cannot be an extension's name.",
            hint="Use a letter, then letters, digits, '_', '-' and '.', 64 at most.",
        )
