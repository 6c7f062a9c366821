"""A node's jobs: each is taken once, run once, and has exactly one result, even after a kill or a disconnect.

    server ══ offers ══► intake ──► ledger (on disk) ──► executor ──► ledger ──► exchange ══ results ══► server
                            └──────────── taken ────────────────────────────────────┘

`jobs.py` connects these parts; `docs/decisions/0016` has the reasons. The work of a job is that of its command
(`agent/commands/`).
"""
