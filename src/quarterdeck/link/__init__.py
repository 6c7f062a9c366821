"""What agent and server say to each other, and the wires that carry it: messages, trust, gRPC."""
