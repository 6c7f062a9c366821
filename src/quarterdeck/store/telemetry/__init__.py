"""The telemetry store: tables of columns in the ClickHouse dialect, embedded (chDB) or on a server, by the same code.

`clickhouse.TelemetryStore` is the port; `schema` has how a table is stored and changed, `rows` how a batch becomes
rows, `grammar` what a statement reads, `faults` the meaning of the engine's errors. It does not depend on agents or
acknowledgements.
"""
