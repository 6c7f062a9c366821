"""The programs that the agent runs: how they are started, supervised, measured and ended.

    processes.py           the manager: the list of processes
    supervised_process.py  one process: its settings, its state, its result
    supervision.py         the rules of restarts and time limits, without a clock
    program_run.py         one run of a process
    launcher.py            has the keeper start and end programs
    environment.py         variables and folders of a program
    cgroups.py             cgroups of this host, their limits and counters
    deliveries.py          reports of the keeper: in order, stored, acknowledged
    output.py              the streams of a program as messages, samples and results
    readings.py            the position up to which an earlier agent read a process
    unclaimed.py           children of an earlier agent that nobody has claimed
    measuring.py           sends the resource usage of processes to statsd
    stats.py               the resource usage of process trees
    abilities.py           the limits that this host can enforce, for `qd doctor`

A program is started through `Processes` only. The process that owns it is the keeper (`quarterdeck.keeper`), and
`agent/keeper/` is its client.
"""
