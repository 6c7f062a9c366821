"""Which calls of the keeper are refused, and with what."""

from __future__ import annotations

from errno import EAGAIN, EIO, EMFILE, ENOMEM, ENOSPC, EPERM

CALLS = [
    ("open", EMFILE),
    ("read", EIO),
    ("write", ENOSPC),
    ("close", EIO),
    ("pipe", EMFILE),
    ("fork", EAGAIN),
    ("posix_spawn", ENOMEM),
    ("unlink", EIO),
    ("mkdir", ENOSPC),
    ("rmdir", EIO),
    ("stat", EIO),
    ("fstat", EIO),
    ("scandir", EMFILE),
    ("kill", EIO),
    ("set_blocking", EIO),
    ("setsid", EPERM),
    ("dup2", EMFILE),
    ("listdir", EMFILE),
    ("fchown", EIO),
    ("chdir", EIO),
    ("execve", ENOMEM),
    ("builtin.open", ENOSPC),
    ("epoll.register", ENOSPC),
    ("epoll.unregister", EIO),
    ("epoll.poll", ENOMEM),
    ("socket.accept", EMFILE),
    ("socket.getsockopt", EIO),
    ("socket.recv", ENOMEM),
    ("socket.send", ENOMEM),
]
#: those that not every host has the keeper make: without cgroups, with those of version 2 alone, with no other user
ELSEWHERE = {"mkdir", "rmdir", "scandir", "listdir", "chdir", "posix_spawn", "fork", "fchown"}
ELSEWHERE |= {"setsid", "dup2", "execve", "kill"}
#: output goes to files only while the agent acknowledges more slowly than a program prints; a refusal of these files is
#: also tested in tests/unit/keeper/test_backlog.py
ELSEWHERE |= {"builtin.open"}
#: those that it makes elsewhere where no cgroup holds a tree together
OTHERS_WITHOUT_CGROUPS = {"open", "read", "close", "listdir", "kill"}
