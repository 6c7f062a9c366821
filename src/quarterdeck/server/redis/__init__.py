"""The Redis interface: commands are taken from a list, results and messages are put into lists.

`queue` takes commands, which `requests` parses; `results` and `messages` fill the lists; `connection` talks to Redis.
`gateway` puts them together. This package is imported only where a Redis is configured.
"""
