"""Scripts: source that a node runs with an interpreter, sent there once and known by the hash of its bytes."""

from __future__ import annotations

from quarterdeck.model.files import check_sha256
from quarterdeck.model.processes import ProcessSettings

#: the commands that run a script: Python, Lua, and the system's shell
PYTHON, LUA, SHELL = "execute_js_py", "execute_js_lua", "execute_sh"
SCRIPT_COMMANDS = frozenset({PYTHON, LUA, SHELL})
#: bytes of one script
SCRIPT_LIMIT_BYTES = 4 * 1024 * 1024


class ScriptArguments(ProcessSettings, frozen=True, kw_only=True):
    """Of `execute_js_py`, `execute_js_lua` and `execute_sh`. Either `script` or `sha256`.

    The server keeps a script that is asked for and passes its hash on: a node gets it once, whatever uses it.
    """

    script: str | None = None  #: the source
    sha256: str = ""  #: or the hash of a script that the server has
    args: tuple[str, ...] = ()  #: what the script gets, each as it is

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sha256:
            check_sha256(self.sha256)
