"""The telemetry store: tables of columns in the ClickHouse dialect, embedded (chDB) or on a server, by the same code.

`clickhouse.TelemetryStore` is the port; `schema` says how a table is stored and changed, `rows` how a batch becomes
rows, `grammar` what a statement reads, `faults` what the engine's errors mean. Nothing here knows agents or acks.
"""
