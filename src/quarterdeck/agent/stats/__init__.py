"""Statsd on the node: takes lines of processes and packets of applications, and emits rows of the table `stats`.

    tally       keys and their sums: the Python side of the WASM guest that parses whole batches
    rows        the content of a tally as rows of the table, a column at a time
    aggregator  the tally that all sources feed; emits its rows every interval, and refused lines as losses
    packets     receives many datagrams in one call, straight into the tally
    listener    a UDP or Unix socket, and the thread that empties it
    stats       connects all of these, as the agent runs them

Python code never processes a single line.
"""
