"""Parser of the entries in the queue of commands: bytes become a request, or a mistake with its reason.

It is the only parser of foreign bytes in the Redis interface. It does no I/O and never creates a command.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

import msgspec

from quarterdeck.model.errors import BadInput
from quarterdeck.model.jobs import ID_LIMIT, CreateCommand, is_id
from quarterdeck.model.nodes import Selector
from quarterdeck.model.queue import ANY_ROLE, QueuedCommand

#: characters of `tags`
TAGS_LIMIT = 1000


class Request(NamedTuple):
    """An entry that requests a command."""

    create: CreateCommand
    tags: str
    digest: str  #: of the entry's bytes: an entry with the same digest is the same command


class Mistake(NamedTuple):
    """An entry that is not a valid command; `id` is "" where none can be read."""

    id: str
    reason: str


def read(found: bytes) -> Request | Mistake:
    """Parse an entry."""
    try:
        queued = msgspec.json.decode(found, type=QueuedCommand)
        if not is_id(queued.id):
            raise BadInput(f"A command has an id of 1 to {ID_LIMIT} printable characters, which its client makes.")
        return Request(_request(queued), _tags(queued), hashlib.sha256(found).hexdigest())
    except (msgspec.DecodeError, BadInput, RecursionError, UnicodeError) as error:
        return Mistake(_id(found), f"This is not a command: {error}")


def _request(queued: QueuedCommand) -> CreateCommand:
    roles = queued.roles or ()
    if roles and queued.nid is not None:
        raise BadInput("A command names a node by gid and nid, or nodes by roles; found both.")
    if not roles and (queued.gid is None or queued.nid is None):
        raise BadInput("A command names a node by gid and nid, or nodes by roles; found neither.")
    if queued.fanout and not roles:
        raise BadInput("fanout is for commands with roles; this one names its node.")
    if not all(roles):
        raise BadInput("A role has at least one character; found an empty one.")
    if roles:
        wanted = tuple(role for role in roles if role != ANY_ROLE)
        selector = Selector(gid=queued.gid, roles=wanted)
    else:
        selector = Selector(nodes=(f"{queued.gid}/{queued.nid}",))
    return CreateCommand(
        id=queued.id,
        cmd=queued.cmd,
        args=queued.args or {},
        data=_data(queued.data),
        selector=selector,
        any=bool(roles) and not queued.fanout,
    )


def _data(data: Any) -> str:
    """Return a text unchanged, and the JSON of any other value."""
    if data is None:
        return ""
    return data if isinstance(data, str) else msgspec.json.encode(data).decode()


def _tags(queued: QueuedCommand) -> str:
    tags = queued.tags or ""
    if len(tags) > TAGS_LIMIT:
        raise BadInput(f"tags are at most {TAGS_LIMIT} characters; found {len(tags)}.")
    return tags


def _id(found: bytes) -> str:
    """Return the id in an invalid command, or "" if it has none."""
    try:
        fields = msgspec.json.decode(found, type=dict[str, msgspec.Raw])
        command_id = msgspec.json.decode(fields["id"], type=str)
    except (msgspec.DecodeError, KeyError, RecursionError, UnicodeError):
        return ""
    return command_id if is_id(command_id) else ""
