"""The keeper's loop: children, their pipes and exits on one side, the agent on the other.

It has one thread and one epoll. It decides nothing: the agent decides about restarts and time limits. It serves one
agent at a time. A tree ends with its first process; an exit is reported when all its output was reported and no process
of its tree is left. The keeper ends when nothing runs and no agent is connected. An error of the system does not end
it: the error is logged, and the operation is tried again.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress

if sys.platform == "win32":
    raise ImportError("The keeper needs a POSIX system.")

from quarterdeck.keeper.agent_socket import AgentSocket, may_command
from quarterdeck.keeper.child import Child, left_in
from quarterdeck.keeper.log import note
from quarterdeck.keeper.poller import Poller
from quarterdeck.keeper.protocol import VERSION
from quarterdeck.keeper.starter import Refused, Starter
from quarterdeck.keeper.timers import RETRY_S, Timers

TYPE_CHECKING = False  # typing itself costs memory
if TYPE_CHECKING:
    from quarterdeck.keeper.protocol import Header

#: how long it stays with no child and no agent
LINGER_S = 60.0
#: between TERM and KILL, unless the agent says otherwise
GRACE_S = 10.0
#: an agent that acknowledges nothing for so long is treated as one that is away: children are no longer held up for it
PATIENCE_S = 30.0
#: a pipe that somebody outside of the tree holds is closed so long after the child's end
DRAIN_S = 5.0
#: between looks at a tree that does not end
AGAIN_S = 0.05
#: after so long an exit is told although some of its tree cannot be killed (they hang in the kernel)
SURVIVE_S = 30.0
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT


class Keeper:
    """The loop. `listener`: its socket; `home`: the folder for unacknowledged output; `retry_s`: after an error of the
    system.
    """

    def __init__(
        self, listener: socket.socket, home: str, *, linger_s: float = LINGER_S, retry_s: float = RETRY_S
    ) -> None:
        self._home = home
        self._me = {"pid": os.getpid(), "since": time.monotonic()}
        self._linger_s = linger_s
        self._children: dict[str, Child] = {}
        self._by_pid: dict[int, Child] = {}
        self._numbers = 0
        self._starter = Starter()
        self._timers = Timers(retry_s=retry_s)
        self._poller = Poller(self._timers)
        self._ready: dict[str, Child] = {}  #: those that may have something to say
        self._agent = AgentSocket(self._poller, obey=self._obey, gone=self._poller.release)
        self._greeted = False  #: the agent got the list of children
        self._confirms = False  #: the agent expects a confirmation when a child is forgotten
        self._stopping = False
        listener.setblocking(False)
        self._listener = listener
        self._poller.watch(listener.fileno(), _IN, self._accept)
        self._poller.watch(self._starter.mounts, select.EPOLLPRI, self._starter.look)
        wakes, self._wake = socket.socketpair()
        for end in (wakes, self._wake):
            end.setblocking(False)
        self._wakes = wakes
        self._poller.watch(wakes.fileno(), _IN, self._reap)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # only so that the wake-up is written
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._adopt()
        self._look()

    def run(self) -> None:
        """Run until there is nothing left to keep."""
        while not self._done():
            self._poller.run(self._wait_s())
            self._timers.run()
            if self._given_up():
                self._poller.release()
            self._pump()

    def _done(self) -> bool:
        if self._agent.connected:
            return self._stopping and not self._children
        return self._idle() and (self._stopping or self._lingers_s() <= 0) and self._hand_over()

    def _lingers_s(self) -> float:
        """Return how long it still waits for an agent; negative when that time is over."""
        return self._agent.heard + self._linger_s - time.monotonic()

    def _hand_over(self) -> bool:
        """Return whether all that was not reported is on the disk for the next keeper, or none will come."""
        handed = [child.hand_over() for child in self._children.values()]
        return all(handed) or _is_gone(self._home)

    def _idle(self) -> bool:
        """Return whether nothing runs."""
        return not self._by_pid and all(child.finished and child.failing < 0 for child in self._children.values())

    def _look(self) -> None:
        """Without the folder no agent will find the way here: all is to end."""
        if not self._agent.connected and _is_gone(self._home):
            self._stopping = True
            for child in list(self._children.values()):
                self._end(child, GRACE_S)
        else:
            self._timers.later(max(1.0, self._linger_s), self._look)

    def _wait_s(self) -> float:
        waits = self._timers.waits(time.monotonic())
        if not self._agent.connected and self._idle():
            left = self._lingers_s()
            waits.append(left if left > 0 else self._timers.retry_s)  # handing over failed just now
        if self._poller.holds and self._agent.connected:
            waits.append(PATIENCE_S)
        return max(0.0, min(waits)) if waits else -1

    def _adopt(self) -> None:
        """End the children that an earlier keeper left, and report them."""
        for number, child in left_in(f"{self._home}/children"):
            self._numbers = max(self._numbers, number)
            if child is not None and child.id not in self._children:
                child.lost()
                self._children[child.id] = self._ready[child.id] = child

    def _start(self, header: Header, body: bytes) -> None:
        child_id = header["id"]
        if (child := self._children.get(child_id)) is not None:
            if child.failing >= 0:  # it is being started for an earlier connection
                return
            self._agent.say({"t": "refused", "id": child_id, "stage": "id", "errno": 17, "why": "this id is in use"})
            return
        self._numbers += 1
        child = Child(header, f"{self._home}/children/{self._numbers}")
        try:
            child.spawn(header, body, self._starter)
        except Refused as refused:
            self._agent.say({"t": "refused", "id": child_id, **refused.told()})
            return
        self._children[child_id] = self._by_pid[child.pid] = child
        self._timers.later(0, self._go_home)
        self._save(child)
        for descriptor in child.outputs:
            self._poller.watch(descriptor, _IN, lambda _, at=descriptor: self._read(child, at))
        if child.stdin >= 0:
            self._poller.watch(child.stdin, _OUT, lambda _: self._feed(child))
        if child.failing >= 0:
            self._poller.watch(child.failing, _IN, lambda _: self._started(child))
        else:
            self._agent.say({"t": "started", **child.describe()})

    def _save(self, child: Child) -> None:
        """Write down what a later keeper must know of the child, once there is room."""
        if not child.save() and child.id in self._children:
            self._timers.again(lambda: self._save(child))

    def _go_home(self) -> None:
        if not self._starter.go_home():
            raise OSError("the keeper cannot leave the cgroup of a program")  # the call is repeated

    def _started(self, child: Child) -> None:
        if child.failing < 0 or not child.read_failure():
            return
        self._poller.close(child.failing)
        child.failing = -1
        if child.failure is None:
            self._agent.say({"t": "started", **child.describe()})
            self._ready[child.id] = child
        self._finish(child)

    def _feed(self, child: Child) -> None:
        if not child.input or not child.write():
            self._end_input(child)

    def _end_input(self, child: Child) -> None:
        if child.stdin >= 0:
            self._poller.close(child.stdin)
            child.stdin = -1

    def _read(self, child: Child, descriptor: int) -> None:
        if self._must_wait(child):
            self._poller.hold(descriptor)
        elif child.read(descriptor):
            self._ready[child.id] = child
        else:
            self._end_output(child, descriptor)
            self._finish(child)

    def _end_output(self, child: Child, descriptor: int) -> None:
        del child.outputs[descriptor]
        self._poller.close(descriptor)

    def _reap(self, _: int) -> None:
        """Every child that ended, however many signals were merged into one; orphans of trees end here too."""
        with suppress(BlockingIOError):
            while self._wakes.recv(4096):
                pass
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if (child := self._by_pid.pop(pid, None)) is not None:
                child.reaped(status, usage)
                until = time.monotonic() + SURVIVE_S
                self._timers.later(0, lambda ended=child, until=until: self._reaped(ended, until))

    def _reaped(self, child: Child, until: float) -> None:
        """End the tree, because its first process has ended."""
        self._started(child)
        self._end_input(child)
        for _ in range(2):  # usually the rest of the data, then the end
            for descriptor in list(child.outputs):
                if not self._poller.is_held(descriptor):
                    self._read(child, descriptor)
        child.leaves = len(child.tree.left(self._by_pid))
        if child.outputs:
            self._timers.later(DRAIN_S, lambda: self._drained(child))
        self._timers.later(0, lambda: self._sweep(child, until))

    def _sweep(self, child: Child, until: float) -> None:
        """End every process of the tree, after the grace period if the tree was asked to end."""
        left = child.tree.left(self._by_pid)
        now = time.monotonic()
        if left and now < until:
            if now >= child.grace_until:
                child.tree.kill()
            self._timers.later(AGAIN_S, lambda: self._sweep(child, until))
            return
        if left:
            child.survived(len(left))
        child.swept = True
        self._finish(child)

    def _drained(self, child: Child) -> None:
        """Close the pipes that processes outside the tree still hold, once their content is read."""
        for descriptor in list(child.outputs):
            if not self._drain(child, descriptor):
                self._timers.later(DRAIN_S, lambda: self._drained(child))
                return
            self._end_output(child, descriptor)
        self._ready[child.id] = child
        self._finish(child)

    def _drain(self, child: Child, descriptor: int) -> bool:
        """Read what is in this pipe now; return whether it was everything."""
        left = child.waiting(descriptor)
        while left > 0 and not self._must_wait(child):
            left -= child.read(descriptor) or left
        return left <= 0

    def _finish(self, child: Child) -> None:
        """Once it was reaped and its pipes are at their end."""
        if not child.finished or child.failing >= 0 or child.closed:
            return
        if child.failure is not None:
            self._agent.say({"t": "refused", "id": child.id, **child.failure})
            self._forget(child)
            return
        child.close()
        self._save(child)
        self._ready[child.id] = child

    def _forget(self, child: Child) -> None:
        self._children.pop(child.id, None)
        self._ready.pop(child.id, None)
        child.remove()
        self._timers.later(0, child.unlink)

    def _end(self, child: Child, grace_s: float) -> None:
        """TERM, and KILL for the whole tree when the grace is over."""
        if child.exit is None:
            child.killed = True
            child.grace_until = time.monotonic() + grace_s
            if grace_s > 0:
                self._timers.later(0, lambda: child.tree.send(signal.SIGTERM))
                self._timers.later(
                    0, lambda: child.tree.send(signal.SIGCONT)
                )  # a stopped process acts on the signal only after it continues
            self._timers.later(grace_s, lambda: self._kill(child))

    def _kill(self, child: Child) -> None:
        if child.exit is None and child.id in self._children:
            child.tree.kill()
            self._timers.later(AGAIN_S, lambda: self._kill(child))

    def _accept(self, _: int) -> None:
        with suppress(BlockingIOError):
            connection, _address = self._listener.accept()
            if not may_command(connection):
                connection.close()
                return
            self._agent.begin(connection)
            self._greeted = False

    def _given_up(self) -> bool:
        """Return whether the connected agent has taken nothing for so long that output must not wait for it."""
        if self._poller.holds and not self._agent.silent:
            waits_since = max(self._agent.heard, self._poller.held_since)
            self._agent.silent = time.monotonic() - waits_since > PATIENCE_S
        return self._agent.silent

    def _must_wait(self, child: Child) -> bool:
        """Return whether so much output waits for a connected agent that the rest must stay in the pipe."""
        return child.backlog.crowded and self._agent.connected and not self._agent.silent

    def _obey(self, header: Header, body: bytes) -> None:
        child = self._children.get(str(header.get("id")))
        match header["t"]:
            case "hello":
                self._greet(header)
            case "start":
                self._start(header, body)
            case "kill" if child is not None:
                self._end(child, float(header.get("grace_s", GRACE_S)))
            case "ack":
                self._acknowledge(header["acks"])
            case "stop":
                self._stopping = True
            case _:
                return  # a child that is gone, or a word of another agent

    def _greet(self, header: Header) -> None:
        """Report the children, and then, in order, what was not acknowledged."""
        self._greeted, self._confirms = True, bool(header.get("confirms"))
        children = [child.describe() for child in self._children.values() if child.failing < 0]
        able = {"confirms": True, "opens_inputs": True}
        self._agent.say({"t": "hello", "version": VERSION, **able, **self._me, "children": children})
        for child in self._children.values():
            child.backlog.rewind()
            child.exit_sent = False
            self._ready[child.id] = child

    def _acknowledge(self, acks: dict[str, int]) -> None:
        """Note that all up to these numbers is stored; a number above an exit's means that the child may be forgotten.

        Only the number identifies the exit, because an earlier keeper may have reported it.
        """
        for child_id, seq in acks.items():
            child = self._children.get(child_id)
            if child is not None:
                child.backlog.acknowledge(seq)
                if child.finished and child.failing < 0 and seq > child.backlog.last_seq:
                    self._forget(child)
                else:
                    self._ready[child_id] = child
            if self._confirms and child_id not in self._children:
                self._agent.say({"t": "forgotten", "id": child_id})
        self._poller.release()

    def _pump(self) -> None:
        """Send what children have to say, each in turn, as much as the socket takes."""
        if not (self._agent.connected and self._greeted):
            self._ready.clear()  # the greeting will report everything
            return
        while self._ready and self._agent.takes_more:
            for child in list(self._ready.values()):
                if not self._tell(child):
                    self._ready.pop(child.id, None)
        self._agent.flush()

    def _tell(self, child: Child) -> bool:
        """Send one frame of a child; return False when there is none for now."""
        if child.failing >= 0:  # its start is reported first
            return False
        record = child.backlog.next()
        if record is not None:
            self._agent.say(*child.told(record))
            return True
        if child.finished and child.backlog.empty and not child.exit_sent:
            child.exit_sent = True
            self._agent.say(child.exit_frame())
        return False


def _is_gone(folder: str) -> bool:
    """Return whether the folder does not exist; a folder that cannot be checked does not count as gone."""
    try:
        os.stat(folder)  # noqa: PTH116 (pathlib costs memory)
    except FileNotFoundError:
        return True
    except OSError as error:
        note(f"{folder} cannot be checked: {error}")
    return False
