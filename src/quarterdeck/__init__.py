"""Quarterdeck: one agent on each Linux host, one server that knows them all."""

__version__ = "0.1.0"
