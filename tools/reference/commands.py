"""commands.md: every command that an agent has, what it takes and what it answers."""

from __future__ import annotations

from typing import Any, NamedTuple, cast
from unittest.mock import Mock

import msgspec

from quarterdeck.agent.commands.builtin import KillArguments, builtin_names
from quarterdeck.agent.commands.command import CommonArguments, NoArguments
from quarterdeck.agent.commands.files import FileCommands
from quarterdeck.agent.commands.messages import DeleteMessagesArguments, GetMessagesArguments, message_commands
from quarterdeck.agent.commands.processes import ProcessArguments, ProcessesArguments, process_commands
from quarterdeck.agent.commands.scripts import script_commands
from quarterdeck.agent.services.services import RestartArguments
from quarterdeck.model.files import GetFileArguments, NodeFile, PutFileArguments
from quarterdeck.model.hosts import CpuInfo, DiskInfo, MemInfo, NicInfo, OsInfo, Pong
from quarterdeck.model.messages import DeletedMessages, MessagePage
from quarterdeck.model.processes import ExecuteArguments, KilledAll, ProcessesStats, ProcessSettings, ProcessStats
from quarterdeck.model.scripts import ScriptArguments
from quarterdeck.model.services import ServiceStatus
from tools.reference.markdown import annotations, code, comments, default, struct, summary, table

Kind = type[msgspec.Struct]


class _Command(NamedTuple):
    names: tuple[str, ...]
    meaning: str
    takes: Kind
    answers: Kind | None = None


_COMMANDS = (
    _Command(("execute",), "Runs a program; `data` is its standard input.", ExecuteArguments),
    _Command(
        ("execute_js_py", "execute_js_lua", "execute_sh"),
        "Runs a script with Python, Lua or the system's shell; `data` is its standard input.",
        ScriptArguments,
    ),
    _Command(("kill",), "Ends another job of the node.", KillArguments),
    _Command(
        ("killall",),
        "Ends all processes of the node; those that recur or have a max_time of -1, and services, start again.",
        NoArguments,
        KilledAll,
    ),
    _Command(("get_processes_stats",), "What the processes that run now use.", ProcessesArguments, ProcessesStats),
    _Command(("get_process_stats",), "What one of them uses.", ProcessArguments, ProcessStats),
    _Command(("get_msgs",), "Messages that the node has, a page of them.", GetMessagesArguments, MessagePage),
    _Command(("del_msgs",), "Deletes messages of the node.", DeleteMessagesArguments, DeletedMessages),
    _Command(("put_file",), "Writes a file of the node.", PutFileArguments, NodeFile),
    _Command(("get_file",), "Sends a file of the node to the server.", GetFileArguments, NodeFile),
    _Command(("restart_service",), "Ends a service's process and starts it again.", RestartArguments, ServiceStatus),
    _Command(("restart",), "Ends the agent, whose service manager starts it again; processes go on.", NoArguments),
    _Command(("ping",), "Whether the agent is there.", NoArguments, Pong),
    _Command(("get_cpu_info",), "The CPUs.", NoArguments, CpuInfo),
    _Command(("get_mem_info",), "Memory and swap.", NoArguments, MemInfo),
    _Command(("get_disk_info",), "Disks, partitions and file systems.", NoArguments, DiskInfo),
    _Command(("get_nic_info",), "Network interfaces and their addresses.", NoArguments, NicInfo),
    _Command(("get_os_info",), "The system.", NoArguments, OsInfo),
)
_INTRODUCTION = """# Commands of a node

What `qd job start` can ask every agent. A node's configuration may add others (`[agent.extensions.NAME]`, see
[scripts](../guide/scripts.md)), and `agent.jobs.allow` says which of all these it carries out.

Arguments are a command's `args`. Those that run no program also take them as a JSON object in `data`. An argument that
is not known is an error. What a command answers is JSON, in its result's `data`.
"""


def page() -> str:
    """The page."""
    named = {name for command in _COMMANDS for name in command.names}
    assert named == _every(), f"commands without a description, or the reverse: {sorted(named ^ _every())}"
    parts = [
        _INTRODUCTION,
        f"## Every command\n\n{summary(CommonArguments)}\n",
        struct(CommonArguments),
        f"## Every program\n\n{summary(ProcessSettings)} Services and extensions are told the same.\n",
        struct(ProcessSettings),
    ]
    for command in _COMMANDS:
        parts.append(f"## {', '.join(command.names)}\n\n{command.meaning}\n")
        parts.append(_taken(command.takes))
        if command.answers is not None:
            parts += [f"Answers: {summary(command.answers)}\n", struct(command.answers)]
    return "\n".join(parts)


def _taken(kind: Kind) -> str:
    if not kind.__struct_fields__:
        return "It takes no arguments of its own.\n"
    if not issubclass(kind, ProcessSettings):
        return struct(kind)
    said, typed = comments(kind), annotations(kind)
    rows = [
        (code(field.name), code(typed[field.name]), default(field), said[field.name])
        for field in msgspec.structs.fields(kind)
        if field.name in typed
    ]
    return "Besides what every program can be told:\n\n" + table(("key", "type", "default", "meaning"), rows)


def _every() -> set[str]:
    nothing = cast("Any", Mock())  # they are made, and never run
    files = FileCommands(fetches=nothing, offers=nothing, fill=str, who=nothing)
    return {
        "execute",
        "restart_service",
        *builtin_names(),
        *process_commands(nothing),
        *message_commands(nothing),
        *script_commands(nothing, nothing),
        *files.commands(),
    }
