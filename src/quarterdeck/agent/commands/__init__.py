"""The commands that a job can run on this agent, one file per noun, as entries of a registry (`command.py`).

This package does not depend on queues, ledgers or the server: they are in `agent/jobs/`.
"""
