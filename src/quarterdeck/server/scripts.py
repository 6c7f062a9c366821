"""Scripts of commands: extracted from a request, stored once, and named by their hash from then on.

So no job offer contains a script, and it may be larger than a command. The state store keeps it as long as a command or
a schedule names it, so that a command can be run again and a schedule finds its script. Nodes fetch it as they fetch
every artefact. It can be read as long as it is kept. This module never runs a script.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from quarterdeck.model.errors import BadInput, NotFound, TooLarge
from quarterdeck.model.files import check_sha256
from quarterdeck.model.jobs import CreateCommand
from quarterdeck.model.scripts import SCRIPT_COMMANDS, SCRIPT_LIMIT_BYTES, ScriptSource
from quarterdeck.store.state import scripts as rows
from quarterdeck.store.state.database import Database


class Script(NamedTuple):
    """The script of a command; without `body` it must be stored already."""

    sha256: str
    body: bytes | None


class Scripts:
    """Shows the scripts of commands and schedules."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def show(self, sha256: str) -> ScriptSource:
        """Return a stored script; raise `BadInput` unless `sha256` is a hash, `NotFound`."""
        async with self._database.read() as transaction:
            body = await rows.find_body(transaction, check_sha256(sha256))
        if body is None:
            raise NotFound(
                f"The server has no script {sha256}.",
                hint="A script is removed with the last command and schedule that names it.",
            )
        return ScriptSource(sha256=sha256, source=body.decode())


def take_script(request: CreateCommand) -> tuple[CreateCommand, Script | None]:
    """Return the request with the script's hash in place of its source, and the script.

    Raise `BadInput` when the arguments are wrong, `TooLarge` when the script is too long.
    """
    if request.cmd not in SCRIPT_COMMANDS:
        return request, None
    args = dict(request.args)
    source: object = args.pop("script", None)
    named: object = args.pop("sha256", "") or ""
    script = _read(request.cmd, source, named)
    return msgspec.structs.replace(request, args=args | {"sha256": script.sha256}), script


async def keep(transaction: AsyncConnection, script: Script) -> None:
    """Store a script in the transaction that stores the command or schedule that names it.

    Raise `NotFound` when the request has only its hash and the script is not stored.
    """
    if script.body is not None:
        await rows.add(transaction, script.sha256, script.body)
    elif not await rows.has(transaction, script.sha256):
        raise NotFound(f"The server has no script {script.sha256}.", hint="Send its source as the argument 'script'.")


def _read(cmd: str, source: object, named: object) -> Script:
    if not isinstance(named, str):
        raise BadInput(f"The argument 'sha256' of {cmd} is text; found {_kind(named)}.")
    if named:
        check_sha256(named)
    if source is None and not named:
        raise BadInput(f"{cmd} needs the argument 'script', the source.", hint="As in --arg script=@FILE.")
    if source is None:
        return Script(named, None)
    if not isinstance(source, str):
        raise BadInput(f"The argument 'script' of {cmd} is the source as text; found {_kind(source)}.")
    try:
        body = source.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"The script is not text that can be written as UTF-8: {error}.") from error
    if len(body) > SCRIPT_LIMIT_BYTES:
        raise TooLarge(
            f"A script is at most {SCRIPT_LIMIT_BYTES} bytes; found {len(body)}.",
            hint="Pass what is not code as data, or send it as a file.",
        )
    sha256 = hashlib.sha256(body).hexdigest()
    if named and named != sha256:
        raise BadInput(f"The script's hash is {sha256}, but the argument sha256 is {named}.", hint="Give only one.")
    return Script(sha256, body)


def _kind(value: object) -> str:
    return "an object" if isinstance(value, Mapping) else type(value).__name__
