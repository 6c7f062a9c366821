"""commands.md: every command of an agent, its arguments and its answer."""

from __future__ import annotations

from typing import Any, NamedTuple, cast
from unittest.mock import Mock

import msgspec

from quarterdeck.agent.commands.builtin import KillArguments, builtin_names
from quarterdeck.agent.commands.command import CommonArguments, NoArguments
from quarterdeck.agent.commands.configuration import configuration_commands
from quarterdeck.agent.commands.files import FileCommands
from quarterdeck.agent.commands.messages import DeleteMessagesArguments, GetMessagesArguments, message_commands
from quarterdeck.agent.commands.processes import ProcessArguments, ProcessesArguments, process_commands
from quarterdeck.agent.commands.scripts import script_commands
from quarterdeck.agent.services.services import RestartArguments
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.files import GetFileArguments, NodeFile, PutFileArguments
from quarterdeck.model.hosts import CpuInfo, DiskInfo, MemInfo, NicInfo, OsInfo, Pong
from quarterdeck.model.messages import DeletedMessages, MessagePage
from quarterdeck.model.processes import ExecuteArguments, KilledAll, ProcessesStats, ProcessSettings, ProcessStats
from quarterdeck.model.scripts import ScriptArguments
from quarterdeck.model.services import ServiceStatus
from tools.reference.markdown import annotated, code, comments, default, struct, summary, table

Kind = type[msgspec.Struct]


class _Command(NamedTuple):
    names: tuple[str, ...]
    meaning: str
    takes: Kind
    answers: Kind | None = None


_COMMANDS = (
    _Command(("execute",), "Run a program; `data` is its standard input.", ExecuteArguments),
    _Command(
        ("execute_js_py", "execute_js_lua", "execute_sh"),
        "Run a script with Python, Lua or the system's shell; `data` is its standard input.",
        ScriptArguments,
    ),
    _Command(("kill",), "End another job of the node.", KillArguments),
    _Command(
        ("killall",),
        "End all processes of the node. Services, recurring processes and those with a max_time of -1 start again.",
        NoArguments,
        KilledAll,
    ),
    _Command(
        ("get_processes_stats",), "Return the current resource usage of processes.", ProcessesArguments, ProcessesStats
    ),
    _Command(
        ("get_process_stats",), "Return the current resource usage of one process.", ProcessArguments, ProcessStats
    ),
    _Command(("get_msgs",), "Return one page of the node's messages.", GetMessagesArguments, MessagePage),
    _Command(("del_msgs",), "Delete messages of the node.", DeleteMessagesArguments, DeletedMessages),
    _Command(("put_file",), "Write a file of the node.", PutFileArguments, NodeFile),
    _Command(("get_file",), "Send a file of the node to the server.", GetFileArguments, NodeFile),
    _Command(("restart_service",), "End a service's process and start it again.", RestartArguments, ServiceStatus),
    _Command(("restart",), "End the agent; its service manager starts it again. Processes keep running.", NoArguments),
    _Command(("ping",), "Check that the agent is running.", NoArguments, Pong),
    _Command(("get_cpu_info",), "Return the CPUs and their times.", NoArguments, CpuInfo),
    _Command(("get_mem_info",), "Return the use of memory and swap.", NoArguments, MemInfo),
    _Command(("get_disk_info",), "Return disks, partitions and file systems.", NoArguments, DiskInfo),
    _Command(("get_nic_info",), "Return network interfaces and their addresses.", NoArguments, NicInfo),
    _Command(("get_os_info",), "Return the operating system and its version.", NoArguments, OsInfo),
    _Command(
        ("get_config",),
        "Return the configuration of the agent; secrets are shown as `(set)`.",
        NoArguments,
        AgentConfig,
    ),
)
_INTRODUCTION = """# Commands of a node

These are the commands that `qd job start` can send to every agent. A node's configuration can add others
(`[agent.extensions.NAME]`, see [scripts](../guide/scripts.md)), and `agent.jobs.allow` restricts which ones the node
executes.

The arguments of a command are in its `args`. Commands that run no program also accept arguments as a JSON object in
`data`. An unknown argument is an error. The answer of a command is JSON, in `data` of its result.
"""


def page() -> str:
    """Return the page."""
    named = {name for command in _COMMANDS for name in command.names}
    assert named == _every(), f"commands without a description, or the reverse: {sorted(named ^ _every())}"
    parts = [
        _INTRODUCTION,
        f"## Every command\n\n{summary(CommonArguments)}\n",
        struct(CommonArguments),
        f"## Every program\n\n{summary(ProcessSettings)} Services and extensions have the same settings.\n",
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
    meanings, typed = comments(kind), annotated(kind)
    rows = [
        (code(field.name), code(typed[field.name]), default(field), meanings[field.name])
        for field in msgspec.structs.fields(kind)
        if field.name in typed
    ]
    return "In addition to the settings of every program:\n\n" + table(("key", "type", "default", "meaning"), rows)


def _every() -> set[str]:
    nothing = cast("Any", Mock())  # they are created, and never run
    files = FileCommands(fetches=nothing, offers=nothing, fill=str, who=nothing)
    return {
        "execute",
        "restart_service",
        *builtin_names(),
        *process_commands(nothing),
        *message_commands(nothing),
        *script_commands(nothing, nothing, nothing),
        *files.commands(),
        *configuration_commands(AgentConfig()),
    }
