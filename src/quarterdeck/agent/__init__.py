"""The node's half: the link to the server, the node's programs and modules, and the outbox for their rows."""
