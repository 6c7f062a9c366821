"""The agent's side of the keeper: it starts a keeper, asks it to start and end programs, and receives its reports.

    client.py      the connection: found or started, and made again when it ends
    start.py       a request to start a program
    messages.py    the keeper's reports: children, output, exits
    known_runs.py  the runs that were reported and acknowledged, across connections and keepers
    refusals.py    the reasons of failed starts, in words
    shutdown.py    counts and ends what runs while no agent does, for `qd down`

The protocol and the process itself are the package `quarterdeck.keeper`. `agent/processes/` decides which programs run
and what is done with their output.
"""
