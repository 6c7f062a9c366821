"""The fleet's half of Quarterdeck: it decides what nodes run, and stores and answers what they report.

`sessions` is the server's end of the link. `joins`, `ca`, `tokens` and `nodes` admit agents; `placement` makes the
desired sets of nodes from the `modules` and `services` that are deployed. `jobs` has commands, their jobs and
schedules; `messages` searches and follows what processes print; `files` stores contents by their hash; `ingest` inserts
telemetry, which `tables`, `queries` and `tail` read; `redis` is an interface for clients that use Redis. `assembly`
builds these services, and `server` starts and stops them. The server never talks HTTP to clients: `api` does.
"""
