"""Placement: what is wanted of each kind of thing on which nodes, at which version, and what the nodes report of it.

`kind` says what a kind supplies, `placements` compares and makes the desired sets, `links` sends them, `reports` takes
and presents what agents say. The rows are those of `store/state/placements.py`.
"""
