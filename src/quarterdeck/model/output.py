"""The output of a command's jobs, as clients that follow the command receive it."""

from __future__ import annotations

from quarterdeck.model.messages import Message
from quarterdeck.model.struct import Struct

#: built-in commands that start no process: they return a result and print nothing
SILENT = frozenset(
    {
        "ping",
        "get_cpu_info",
        "get_mem_info",
        "get_disk_info",
        "get_nic_info",
        "get_os_info",
        "get_config",
        "get_msgs",
        "del_msgs",
        "get_processes_stats",
        "get_process_stats",
        "get_file",
        "put_file",
        "kill",
        "killall",
        "restart",
        "restart_service",
    }
)


class NodeMessages(Struct, frozen=True, kw_only=True):
    """Messages of one job in the order in which they were printed, and reasons why some may be missing."""

    gid: int
    nid: int
    node_name: str
    messages: tuple[Message, ...] = ()
    problems: tuple[str, ...] = ()
