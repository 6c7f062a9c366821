"""The client through Redis, for programs that can connect to a Redis but not to the server.

    from quarterdeck.client.redis import RedisClient

    with RedisClient("redis://127.0.0.1:6379") as qd:
        for result in qd.execute(1, 1, "/bin/hostname").iter_results(timeout=30):
            print(result.state, result.streams[0])

Needs `pip install 'quarterdeck[redis]'`. `model/queue.py` defines the commands and their results.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast

import msgspec

from quarterdeck.model.errors import BadConfig, NotInstalled, TimedOut, Unavailable
from quarterdeck.model.queue import COMMANDS, QueuedCommand, QueuedMessage, QueuedResult, log_of, results_of

try:
    import redis
except ModuleNotFoundError as error:
    raise NotInstalled(
        "The client through Redis needs the package redis.", hint="Install it: pip install 'quarterdeck[redis]'."
    ) from error

Arguments = Mapping[str, Any] | None
Roles = Sequence[str]


class RedisClient:
    """A client of the Redis at `url` (redis://:password@host:6379/0). A context manager.

    Every call raises `Unavailable` when Redis cannot be reached.
    """

    def __init__(self, url: str) -> None:
        try:
            self._redis: Any = cast("Any", redis.Redis).from_url(url if "://" in url else f"redis://{url}")
        except ValueError as error:  # its message may contain the URL
            raise BadConfig("The URL is not that of a Redis.", hint="Write redis://:PASSWORD@HOST:PORT/DB.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection to Redis."""
        self._redis.close()

    # ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def cmd(
        self,
        gid: int | None,
        nid: int | None,
        cmd: str,
        args: Arguments = None,
        data: Any = "",
        *,
        id: str = "",
        roles: Roles = (),
        fanout: bool = False,
        tags: str = "",
    ) -> RedisCommand:
        """Queue a command for the node `gid`/`nid`, for one node that has all `roles`, or with `fanout` for all of
        these.

        Without an `id` one is created. A command that is queued again with the same id is executed once.
        """
        command = QueuedCommand(
            id=id or uuid.uuid4().hex,
            cmd=cmd,
            gid=gid,
            nid=nid,
            args=dict(args or {}),
            data=data,
            roles=tuple(roles),
            fanout=fanout,
            tags=tags,
        )
        self._say("RPUSH", COMMANDS, msgspec.json.encode(command))
        return RedisCommand(self, command.id)

    def command(self, id: str) -> RedisCommand:
        """Return a command that was queued earlier."""
        return RedisCommand(self, id)

    def execute(
        self,
        gid: int | None,
        nid: int | None,
        executable: str,
        cmdargs: Sequence[str] = (),
        *,
        args: Arguments = None,
        data: str = "",
        **how: Any,
    ) -> RedisCommand:
        """Run a program with these arguments and `data` as its input; `args` has more, such as max_time. See `cmd`."""
        return self.cmd(gid, nid, "execute", {**(args or {}), "cmd": executable, "args": list(cmdargs)}, data, **how)

    def execute_js_py(
        self, gid: int | None, nid: int | None, script: str, *, args: Arguments = None, data: Any = "", **how: Any
    ) -> RedisCommand:
        """Run a Python script, given as its source. See `cmd`."""
        return self.cmd(gid, nid, "execute_js_py", {**(args or {}), "script": script}, data, **how)

    def execute_js_lua(
        self, gid: int | None, nid: int | None, script: str, *, args: Arguments = None, data: Any = "", **how: Any
    ) -> RedisCommand:
        """Run a Lua script, given as its source. See `cmd`."""
        return self.cmd(gid, nid, "execute_js_lua", {**(args or {}), "script": script}, data, **how)

    def ping(self, gid: int | None, nid: int | None, **how: Any) -> RedisCommand:
        """Check that the node answers. See `cmd`."""
        return self.cmd(gid, nid, "ping", **how)

    def get_cpu_info(self, gid: int | None, nid: int | None, **how: Any) -> RedisCommand:
        """Get its processors. See `cmd`."""
        return self.cmd(gid, nid, "get_cpu_info", **how)

    def get_disk_info(self, gid: int | None, nid: int | None, **how: Any) -> RedisCommand:
        """Get its disks and partitions. See `cmd`."""
        return self.cmd(gid, nid, "get_disk_info", **how)

    def get_mem_info(self, gid: int | None, nid: int | None, **how: Any) -> RedisCommand:
        """Get its memory. See `cmd`."""
        return self.cmd(gid, nid, "get_mem_info", **how)

    def get_nic_info(self, gid: int | None, nid: int | None, **how: Any) -> RedisCommand:
        """Get its interfaces and their addresses. See `cmd`."""
        return self.cmd(gid, nid, "get_nic_info", **how)

    def get_os_info(self, gid: int | None, nid: int | None, **how: Any) -> RedisCommand:
        """Get its host name and system. See `cmd`."""
        return self.cmd(gid, nid, "get_os_info", **how)

    def get_processes_stats(
        self, gid: int | None, nid: int | None, *, domain: str = "", name: str = "", **how: Any
    ) -> RedisCommand:
        """Get the current resource usage of its processes: of all, or of a domain and name. See `cmd`."""
        chosen = {key: value for key, value in (("domain", domain), ("name", name)) if value}
        return self.cmd(gid, nid, "get_processes_stats", chosen, **how)

    def get_process_stats(self, gid: int | None, nid: int | None, process: str, **how: Any) -> RedisCommand:
        """Get the current resource usage of one process, by the id of its command. See `cmd`."""
        return self.cmd(gid, nid, "get_process_stats", {"id": process}, **how)

    def get_msgs(self, gid: int | None, nid: int | None, args: Arguments = None, **how: Any) -> RedisCommand:
        """Get messages that the node stores: `args` has jobid, timefrom, timeto, levels …. See `cmd`."""
        return self.cmd(gid, nid, "get_msgs", args, **how)

    def del_msgs(self, gid: int | None, nid: int | None, args: Arguments = None, **how: Any) -> RedisCommand:
        """Delete messages on the node, selected as by `get_msgs`. See `cmd`."""
        return self.cmd(gid, nid, "del_msgs", args, **how)

    def kill(self, gid: int | None, nid: int | None, job: str, **how: Any) -> RedisCommand:
        """End a job on the node, by the id of its command. See `cmd`."""
        return self.cmd(gid, nid, "kill", {"id": job}, **how)

    def killall(self, gid: int | None, nid: int | None, **how: Any) -> RedisCommand:
        """End all processes that the agent runs. See `cmd`."""
        return self.cmd(gid, nid, "killall", **how)

    def restart(self, gid: int | None, nid: int | None, **how: Any) -> RedisCommand:
        """Restart the agent. See `cmd`."""
        return self.cmd(gid, nid, "restart", **how)

    # ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────
    def messages(self, domain: str = "", name: str = "", *, limit: int = 100) -> list[QueuedMessage]:
        """Return the last messages that processes of this domain and name forwarded, the oldest first."""
        found = self._say("LRANGE", log_of(domain, name), -max(1, limit), -1)
        return [msgspec.json.decode(line, type=QueuedMessage) for line in found]

    def wait_for(self, seconds: float, *words: Any) -> Any:
        """Send one command to Redis that waits there for up to `seconds`; 0: without limit."""
        deadline = time.monotonic() + seconds
        while True:
            # an unlimited wait is repeated at intervals, so that a broken connection is noticed
            wait_s = min(_WAIT_S, deadline - time.monotonic()) if seconds else _WAIT_S
            if wait_s <= 0:
                return None
            if (found := self._say(*words, wait_s)) is not None:
                return found

    def _say(self, *words: Any) -> Any:
        try:
            return self._redis.execute_command(*words)
        except (redis.RedisError, OSError) as error:
            raise Unavailable(
                f"Redis cannot be asked: {error}.", hint="Is it running, and is the URL right?"
            ) from error


#: seconds of one waiting call to Redis
_WAIT_S = 2.0


class RedisCommand:
    """A queued command. Each of its results is removed from Redis by the first client that reads it."""

    def __init__(self, client: RedisClient, id: str) -> None:
        self._client = client
        self.id = id
        self._read = 0

    def get_next_result(self, timeout: float = 0.0) -> QueuedResult:
        """Return the next result. Raise `TimedOut` when none arrives within `timeout` seconds; 0: without limit."""
        found = self._client.wait_for(timeout, "BLPOP", results_of(self.id))
        if found is None:
            raise TimedOut(f"No result of the command '{self.id}' came within {timeout:g} s.")
        self._read += 1
        return msgspec.json.decode(found[1], type=QueuedResult)

    def iter_results(self, timeout: float = 0.0) -> Generator[QueuedResult]:
        """Yield each result as it arrives, until every addressed node has answered. `timeout` applies to each."""
        while True:
            result = self.get_next_result(timeout)
            yield result
            if self._read >= result.jobs:
                return

    def wait(self, timeout: float = 0.0) -> list[QueuedResult]:
        """Return all results; `timeout` applies to all of them together."""
        deadline = time.monotonic() + timeout
        results = [self.get_next_result(timeout)]
        while self._read < results[0].jobs:
            left = max(0.001, deadline - time.monotonic()) if timeout else 0.0
            results.append(self.get_next_result(left))
        return results
