"""What a job can ask this agent to do: each command by its name, with what is said of it (`command.py`).

Nothing here knows of queues, ledgers or the server: that is `agent/jobs/`.
"""
