"""The nouns of Quarterdeck: frozen structs, enums with transition tables, and errors. One file holds one noun.

The same struct is the API's JSON, the link's message, the configuration's shape and the store's row. The package does
no I/O and imports nothing but msgspec and the standard library.
"""
