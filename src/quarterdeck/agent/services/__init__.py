"""The services of this node: those of the desired set are kept running, in their order, and checked.

    services.py        the set: compares the wanted services with the running ones, and decides their order
    service_runner.py  one service: started, replaced, ended; each has a task of its own
    service_state.py   the state of a service, read from its process and its health
    health_monitor.py  checks the process of one service at intervals
    health_checks.py   a single check
    launch_records.py  the records of services for the next agent

Processes are kept by `agent/processes/`, as those of jobs are: there is no second supervisor.
"""
