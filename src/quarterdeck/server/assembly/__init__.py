"""The components of a server, one file for each group of services that belong together.

Each group makes its services and registers its parts and topics with the server's `Assembly`; `server/server.py` makes
the groups one after the other. Tests make the same groups without starting them. A part closes before those that were
registered earlier.
"""
