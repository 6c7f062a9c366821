"""Commands, their jobs, and schedules.

`creator` stores new commands, `commands` lists, kills and follows them, and `ledger` is the only place where a job
changes. `jobs` decides what agents are offered and stores their results; `links` is the conversation about jobs with
each agent, whose next messages `upcoming` selects.
`output` streams a command with what its jobs print. `schedules` issues commands at the times of `cron` lines.
"""
