"""What processes print, from the bytes of a pipe to the node's own store and the table `messages`.

    lines     the bytes of one stream become messages: levels, blocks, pieces of endless lines
    runs      messages of one process that came together, as columns; which levels go where
    ids       the node's message counter, over restarts
    file      one SQLite file of messages; store: all of them, bounded, and what is done with a damaged one
    forward   messages that leave for the server, as telemetry
    log       the front of it all in an event loop: a bounded queue, one thread behind it

`MessageLog` is all that the rest of the agent needs to keep and find messages, `LineParser` to make them.
"""
