"""The words of Quarterdeck: frozen structs, enums with transition tables, errors. No I/O, and no import but msgspec.

The same struct is the API's JSON, the link's message, the config's shape and the store's row.
"""
