"""Names for the completion in a shell: those that the server knows, by kind.

Each function is the `completer` of arguments and returns names, some with a description. It asks the server within
`TIMEOUT_S`; cyclopts prints nothing when it raises, so a server that is away completes nothing. The error is shown when
CYCLOPTS_COMPLETION_DEBUG is set.
"""

from __future__ import annotations

from collections import Counter

from quarterdeck.cli import output
from quarterdeck.cli.arguments import connect
from quarterdeck.cli.terminal import plain
from quarterdeck.model.nodes import ROLE_LABEL, roles_of

#: seconds within which the server has to accept a connection, and then to answer
TIMEOUT_S = 3.0
#: commands whose ids are completed, from the newest
COMMANDS = 100
#: names, each with a description
Described = dict[str, str]


def nodes(_: object) -> Described:
    """Return the names of nodes, with their states."""
    with connect(timeout_s=TIMEOUT_S) as client:
        return {node.name: node.state for node in client.nodes.list()}


def roles(_: object) -> list[str]:
    """Return the roles that nodes have."""
    with connect(timeout_s=TIMEOUT_S) as client:
        return sorted({role for node in client.nodes.list() for role in roles_of(node.labels)})


def labels(_: object) -> Described:
    """Return the labels of nodes as key=value, with how many nodes have each; a node's roles are one label each."""
    with connect(timeout_s=TIMEOUT_S) as client:
        found = [node.labels for node in client.nodes.list()]
    counts = Counter(f"{key}={value}" for each in found for key, value in each.items() if key != ROLE_LABEL)
    counts.update(f"{ROLE_LABEL}={role}" for each in found for role in roles_of(each))
    return {label: output.counted(count, "node") for label, count in sorted(counts.items())}


def join_tokens(_: object) -> Described:
    """Return the ids of join tokens, the newest first, with whether they were used."""
    with connect(timeout_s=TIMEOUT_S) as client:
        return {token.id: "used" if token.used_at else "unused" for token in client.tokens.list()}


def api_tokens(_: object) -> Described:
    """Return the ids of API tokens, each with its name and role."""
    with connect(timeout_s=TIMEOUT_S) as client:
        return {token.id: _described(f"{token.name} ({token.role})") for token in client.api_tokens.list()}


def services(_: object) -> list[str]:
    """Return the names of services."""
    with connect(timeout_s=TIMEOUT_S) as client:
        return [found.service.name for found in client.services.list()]


def modules(_: object) -> list[str]:
    """Return the names of modules."""
    with connect(timeout_s=TIMEOUT_S) as client:
        return [module.name for module in client.modules.list()]


def commands(_: object) -> Described:
    """Return the ids of the newest commands, each with what was asked."""
    with connect(timeout_s=TIMEOUT_S) as client:
        return {command.id: _described(command.cmd) for command in client.commands.list(limit=COMMANDS)}


def schedules(_: object) -> list[str]:
    """Return the names of schedules."""
    with connect(timeout_s=TIMEOUT_S) as client:
        return [schedule.name for schedule in client.schedules.list()]


def saved_queries(_: object) -> Described:
    """Return the names of saved queries, with their descriptions."""
    with connect(timeout_s=TIMEOUT_S) as client:
        return {query.name: _described(query.description) for query in client.saved_queries.list()}


def logins(_: object) -> Described:
    """Return the ids of logins, with the names of their tokens."""
    with connect(timeout_s=TIMEOUT_S) as client:
        return {login.id: login.name for login in client.logins.list()}


def tables(_: object) -> Described:
    """Return the names of tables, with their descriptions."""
    with connect(timeout_s=TIMEOUT_S) as client:
        return {found.table.name: _described(found.table.description) for found in client.tables.list()}


def _described(text: str) -> str:
    return plain(text, one_line=True)
