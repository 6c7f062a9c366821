"""A node's jobs: each is taken once, run once, and answered with exactly one result, whatever is killed or cut.

    server ══ offers ══► intake ──► ledger (on disk) ──► executor ──► ledger ──► exchange ══ results ══► server
                            └──────────── taken ────────────────────────────────────┘

`jobs.py` joins these; `docs/decisions/0016` says why it is so. What a job does is a command's business
(`agent/commands/`).
"""
