"""Routes of scripts. They are stored with the commands and schedules that name them."""

from __future__ import annotations

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from quarterdeck.model.scripts import ScriptSource
from quarterdeck.model.tokens import Role
from quarterdeck.server.scripts import Scripts


@get("/scripts/{sha256:str}", operation_id="showScript", role=Role.VIEWER)
async def show_script(server_scripts: NamedDependency[Scripts], sha256: FromPath[str]) -> ScriptSource:
    """Show the source of a script, by the `sha256` in the arguments of its command.

    A script is kept as long as a command or a schedule names it.
    """
    return await server_scripts.show(sha256)


ROUTES = (show_script,)
