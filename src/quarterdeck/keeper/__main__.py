"""The process of the keeper.

    python -m quarterdeck.keeper HOME [--linger SECONDS] [--retry SECONDS]

The keeper outlives the agent. When the agent is restarted, upgraded or killed, the children continue, their output is
kept, and no exit is lost. Only the keeper's user and root may use its socket, HOME/keeper.sock.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import socket
import sys
from contextlib import suppress

if sys.platform == "win32":
    raise ImportError("The keeper needs a POSIX system.")

from quarterdeck.keeper.keeper import LINGER_S, Keeper
from quarterdeck.keeper.protocol import SOCKET
from quarterdeck.keeper.timers import RETRY_S

LOCK = "keeper.lock"
_PR_SET_CHILD_SUBREAPER = 36


def _prepare(home: str) -> socket.socket | None:
    """Return the listening socket; None when another keeper has this home."""
    os.makedirs(home, 0o700, exist_ok=True)  # noqa: PTH103 (pathlib costs memory)
    lock = os.open(f"{home}/{LOCK}", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    os.set_inheritable(lock, True)
    with suppress(FileNotFoundError):
        os.unlink(f"{home}/{SOCKET}")  # noqa: PTH108
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o077)
    # A socket's path is short by law; the folder's own descriptor makes any home short enough.
    folder = os.open(home, os.O_DIRECTORY)
    listener.bind(f"/proc/self/fd/{folder}/{SOCKET}")
    os.close(folder)
    os.umask(mask)
    listener.listen(8)
    return listener


def _launch(home: str, options: list[str]) -> None:
    """Make the socket, leave the agent, and become the keeper: the agent can connect when this has returned.

    Adopting orphans (PR_SET_CHILD_SUBREAPER) needs ctypes, which stays in memory for ever; the attribute outlives an
    exec, ctypes does not.
    """
    listener = _prepare(home)
    if listener is None or os.fork() != 0:
        return
    os.setsid()
    import ctypes  # noqa: PLC0415

    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        print("orphans cannot be adopted on this kernel", file=sys.stderr, flush=True)  # noqa: T201
    log = os.open(f"{home}/keeper.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    null = os.open(os.devnull, os.O_RDWR)
    for target, descriptor in enumerate((null, null, log)):
        os.dup2(descriptor, target)
    listener.set_inheritable(True)
    lean = ("-OO", "-X", "no_debug_ranges")  # no docstrings, no columns of tracebacks
    argv = [sys.executable, *lean, "-m", "quarterdeck.keeper", home, *options]
    os.execv(sys.executable, [*argv, "--socket", str(listener.fileno())])  # noqa: S606


def main(argv: list[str]) -> None:
    """Parse `HOME [--linger SECONDS] [--retry SECONDS]` and start a keeper; with `--socket`, be the keeper."""
    home, options = argv[0], dict(zip(argv[1::2], argv[2::2], strict=True))
    if "--socket" not in options:
        _launch(home, argv[1:])
        return
    os.chdir("/")
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the children are not to end because somebody ends the agent
    gc.freeze()
    listener = socket.socket(fileno=int(options["--socket"]))
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 (the lock too: a child that had it would keep it)
        with suppress(OSError):
            os.set_inheritable(int(name), int(name) < 3)
    linger_s, retry_s = float(options.get("--linger", LINGER_S)), float(options.get("--retry", RETRY_S))
    Keeper(listener, home, linger_s=linger_s, retry_s=retry_s).run()
    with suppress(FileNotFoundError):  # its folder may be gone
        os.unlink(f"{home}/{SOCKET}")  # noqa: PTH108


if __name__ == "__main__":
    main(sys.argv[1:])
