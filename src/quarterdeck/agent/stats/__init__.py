"""Statsd on the node: lines of processes and packets of applications in, rows of the table `stats` out.

    tally       keys and their sums: the WASM guest that parses whole batches, as Python sees it
    rows        what a tally holds as rows of the table, a column at a time
    aggregator  the tally, shared by all who feed it; every interval its rows, and what it had to refuse as losses
    packets     many datagrams in one call, straight into the tally
    listener    a UDP or Unix socket, and the thread that empties it
    stats       all of it together, as the agent runs it

No line is looked at in Python.
"""
