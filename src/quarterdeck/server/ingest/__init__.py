"""Ingest of telemetry: `intake` receives batches from agents, `ingest` gathers them into rounds, and `rounds` sorts a
round into inserts, which `inserts` stores exactly once."""
