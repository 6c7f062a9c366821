"""The stores: `state` for rows that must not be lost, `telemetry` for columns of collected data."""
