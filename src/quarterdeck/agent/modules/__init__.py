"""Module instances on this node: eBPF programs in the kernel, and the way of what they see into columns.

    instances   the desired set made true: states, retries, the comparison of sets
    instance    one module: started, stopped, and what it cost
    loading     programs into the kernel, alternatives; probes, settings: what the manifest and a deploy say
    edge        the thread that takes everything out of the kernel; outlet: the one that encodes what has piled up
    reader      what every table shares: pile, rate limit, counts; losses: what programs counted as lost
    streams     ring and perf buffers as tables; maps, entries: maps and globals as tables, deltas
    extract     records as columns; texts, stacks, clock: the columns that are no plain numbers
    transforms  WASM in place of extract

`Instances` is all that the agent needs of it.
"""
