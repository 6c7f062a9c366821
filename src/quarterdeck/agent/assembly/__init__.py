"""The parts that an agent is built from, one file for each group of parts that belong together.

Each group registers its parts and topics with the agent's `Assembly`; `agent/work.py` creates the groups one after the
other. A part closes before those that were registered earlier, so collectors close before senders.
"""
