"""The state store: rows that must not be lost. SQLite below the home by default, PostgreSQL by URL.

`Database` owns the connections and hands out transactions; beside it stands one module for each noun, whose
functions take a transaction. What a change means for the fleet is decided above, in `quarterdeck.server`.
"""
