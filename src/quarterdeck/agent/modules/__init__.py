"""Module instances on this node: eBPF programs in the kernel, and how their data becomes columns.

    instances   starts and stops what the desired set names: states, retries, the comparison of sets
    instance    one running module: how it starts and stops, and what it costs
    loading     loads programs into the kernel and chooses alternatives; probes, settings: the values that it needs
    edge        the thread that reads everything from the kernel; encoder: the thread that encodes what was read
    reader      what all tables share: waiting rows, rate limit, counts; losses: losses that programs counted
    streams     ring and perf buffers as tables; maps, entries: maps and globals as tables, deltas
    extract     turns records into columns; texts, stacks, clock, times: the columns that are not plain numbers
    counters    differences of counters; walks: iterators as tables
    transforms  turns records into columns by a WASM transform

The rest of the agent uses only `Instances`.
"""
