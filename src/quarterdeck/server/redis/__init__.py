"""The way in through Redis: commands are taken from a list, results and messages are put into lists.

`gateway` puts the others together. Imported only where a Redis is configured.
"""
