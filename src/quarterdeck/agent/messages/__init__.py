"""What processes print, from the bytes of a pipe to the node's own store and the table `messages`.

    lines     the bytes of one stream become messages: levels, blocks, pieces of endless lines
    runs      messages of one process that came together, as columns; which levels go where
    ids       the node's message counter, over restarts
    file      one SQLite file of messages; files: the names of all of them
    store     puts messages into them, bounded, and sets damaged ones aside; reader: finds them, on a thread of its own
    forward   messages that leave for the server, as telemetry
    log       the front of it all in an event loop: a bounded queue, a thread behind it that writes and one that reads

`MessageLog` is all that the rest of the agent needs to keep and find messages, `LineParser` to make them.
"""
