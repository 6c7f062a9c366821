"""Processes on the node: the keeper that owns them, the rules by which they are kept alive, and what they use."""
