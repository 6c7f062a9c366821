"""Contents stored by their hash, and their transfers to and from nodes.

`files` stores files on disk and `eviction` chooses what is removed to make space; `artefacts` reads builds and scripts
from the state store. `grants` decides which node may fetch a content, `pulls` receives files from nodes, `contents`
combines them for agents, `links` is their conversation with agents, and `transfers` reports progress.
"""
