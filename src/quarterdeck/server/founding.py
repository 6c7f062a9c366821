"""Opens the fleet's certificate authority, and checks that it and the state store belong together.

Both are created once, at the very first start. From then on the state names the CA: a server that finds only one of
them, or another CA, does not start. An empty state has no record of the nodes that hold certificates of this CA, and
the nodes in this state do not trust a new CA. It never creates, replaces or repairs one when the other exists.
"""

from __future__ import annotations

from pathlib import Path

from quarterdeck.model.errors import BadConfig
from quarterdeck.server.ca import CertificateAuthority
from quarterdeck.store.state import fleet
from quarterdeck.store.state.database import Database


async def open_authority(database: Database, home: Path, *, certificate_days: float) -> CertificateAuthority:
    """Return the CA below `home`, which the state in `database` names; raise `BadConfig` when they do not match."""
    path = CertificateAuthority.path(home)
    async with database.read() as transaction:
        recorded, used = await fleet.find_ca(transaction), await fleet.was_used(transaction)
    if recorded is None and not used and path.exists():
        raise _empty_state(database.name, path)
    if (recorded or (recorded is None and used)) and not path.exists():
        raise _no_authority(database.name, path)
    if recorded is None:
        async with database.write() as transaction:
            await fleet.add(transaction)  # before the CA is created: a kill in between must not look like a lost state
    authority = CertificateAuthority.open(home, certificate_days=certificate_days)
    if not recorded:
        async with database.write() as transaction:
            await fleet.set_ca(transaction, authority.fingerprint.hex())
    elif recorded != authority.fingerprint.hex():
        raise _foreign(database.name, path)
    return authority


def _empty_state(state: str, path: Path) -> BadConfig:
    return BadConfig(
        f"The state store {state} is empty, but {path} is the CA of a fleet whose nodes it would not know.",
        hint="Restore the state from a backup, or fix `state_url`. To begin a new fleet, move the folder of that file "
        "away; every node then has to join anew.",
    )


def _no_authority(state: str, path: Path) -> BadConfig:
    return BadConfig(
        f"The state store {state} belongs to a fleet whose CA should be in {path}, and there is none.",
        hint="Restore it from a backup. A new CA would reject every node. To begin a new fleet, move the state "
        "away, too; every node then has to join anew.",
    )


def _foreign(state: str, path: Path) -> BadConfig:
    return BadConfig(
        f"The state store {state} belongs to another CA than the one in {path}.",
        hint="Fix `state_url` or `home`, or restore both from one backup.",
    )
