"""Mechanics that know no noun of the fleet. This package imports no other package of Quarterdeck.

Files: `files` writes them whole, private and durable; `part_files` receives one piece by piece; `checked_files` adds a
checksum; `damaged_files` sets them aside; `sqlite` knows SQLite's faults, transactions and the files beside a database.
Tasks: `tasks` starts, restarts and ends them; `race` waits for the first of several, or within a limit. Numbers and
words: `backoff` computes pauses, `names` finds the nearest name, `patterns` matches names.
"""
