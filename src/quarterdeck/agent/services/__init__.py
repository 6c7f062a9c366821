"""The services of this node: what the desired set says is kept running, in its order, and looked after.

    services.py   the set: compares what is wanted with what is there, and says who waits for whom
    seat.py       one service: started, checked, replaced, ended; each has a task of its own
    reading.py    what a service's state is, read from its process and its checks
    health.py     one look at whether a service is well
    memory.py     what the next life of the agent must know

Processes are kept by `agent/processes/`, as those of jobs are: there is no second supervisor.
"""
