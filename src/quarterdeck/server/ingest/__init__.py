"""The way of telemetry through the server: taken from agents, gathered into rounds, inserted exactly once."""
