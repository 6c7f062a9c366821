"""The fleet's half: nodes, modules, desired sets, tokens, ingest, queries. It decides; the stores remember."""
