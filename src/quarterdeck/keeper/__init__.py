"""The keeper: a small process beside the agent that owns the children, their pipes and their exits.

    __main__.py      starts the process
    keeper.py        the loop: children on one side, the agent on the other
    agent_socket.py  the connection to the agent
    protocol.py      the frames that agent and keeper exchange
    child.py         one child: its pipes, its output, its exit
    child_file.py    the record of one child on disk, for a later keeper
    backlog.py       output that the agent has not acknowledged
    starter.py       starts programs as processes
    tree.py          a child and everything it started: its cgroups, its end
    poller.py        epoll and the handlers of descriptors
    timers.py        calls that are made later
    log.py           the keeper's log
    boot.py          the id of this boot of the kernel

The keeper imports the standard library only, and little of it, to keep its memory small. The agent's client is
`agent/keeper/`; it imports `protocol.py`, `child_file.py` and `boot.py` of this package, and nothing else.
"""
