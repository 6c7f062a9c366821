"""The messages of processes: from the bytes of a pipe to the node's message store and the table `messages`.

    lines     turns the bytes of one stream into messages: levels, blocks, pieces of long lines
    runs      messages of one process that were read together, as columns; which levels are kept and forwarded
    ids       the node's message counter, which survives restarts
    evicted   records which messages a full store evicted; shares and eviction: decide and remove them
    file      one SQLite file of messages; files: the names of all of them
    store     puts messages into the files, bounded, and sets damaged files aside; reader: finds messages, on a thread
    answers   answers the server's queries for messages while a link is up
    forward   sends messages to the server, as telemetry
    log       the front of all this in an event loop: a bounded queue, a thread that writes and one that reads
    pacing    slows programs down to the speed of their followers

The rest of the agent uses only `MessageLog`, to keep and find messages, and `LineParser`, to make them.
"""
