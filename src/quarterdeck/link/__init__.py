"""The link between agent and server: its messages, its trust, and the wires (gRPC and HTTPS) that carry it."""
