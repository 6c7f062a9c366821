"""The HTTP API of the server, by protocol: `rest` has the routes of the nouns.

The files beside it are what all protocols share. `access` authenticates and authorises requests, `followers` limits how
many are open, `problems` writes errors, `events` writes live streams, `about` and `documentation` have the server's own
routes, and `app` and `serve` put all together and listen. The API never decides anything but who may call what: the
packages of `server` do the work.
"""
