"""Scripts: source code that a node runs with an interpreter. A node receives it once, identified by its sha256."""

from __future__ import annotations

from quarterdeck.model.files import check_sha256
from quarterdeck.model.processes import ProgramArguments
from quarterdeck.model.struct import Struct

#: the commands that run a script: Python, Lua, and the system's shell
PYTHON, LUA, SHELL = "execute_js_py", "execute_js_lua", "execute_sh"
SCRIPT_COMMANDS = frozenset({PYTHON, LUA, SHELL})
#: size of one script
SCRIPT_LIMIT_BYTES = 4 * 1024 * 1024


class ScriptSource(Struct, frozen=True, kw_only=True):
    """A stored script."""

    sha256: str
    source: str


class ScriptArguments(ProgramArguments, frozen=True, kw_only=True):
    """The arguments of `execute_js_py`, `execute_js_lua` and `execute_sh`: either `script` or `sha256`.

    The server stores a given script and passes on its hash; a node fetches each script once.
    """

    script: str | None = None  #: the source
    sha256: str = ""  #: hash of a script that the server has
    args: tuple[str, ...] = ()  #: arguments of the script, unchanged

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sha256:
            check_sha256(self.sha256)
