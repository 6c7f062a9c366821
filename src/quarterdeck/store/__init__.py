"""Where things are kept: `state`, rows that must not be lost, and `telemetry`, columns by the million."""
