"""Usage of the host: its CPUs, memory, disks and network, and the cost of modules, as rows of the tables of usage.

    proc        the texts of /proc as numbers
    mounts      which mounted file systems are local
    growth      what counters grew by since the last measurement
    collectors  the rows of each table, from /proc and /sys
    usage       the clock of the intervals, and the rows of one as batches

A measurement reads a dozen small files of the kernel and asks each local file system for its size. It never reads the
processes of the host.
"""
