"""The node's half: the link to the server, the modules it runs, the outbox that keeps rows until they are stored."""
