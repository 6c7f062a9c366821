"""The state store: rows that must not be lost. SQLite below the home by default, PostgreSQL by URL.

`Database` owns the connections and provides transactions. Each noun has one module, whose functions take a transaction
and hold the noun's statements; `schema` has the tables. The effects of a change on the fleet are decided in
`quarterdeck.server`.
"""
