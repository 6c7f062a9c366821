"""Messages of the fleet: read from the nodes that store them, merged with forwarded ones, and followed.

`messages` searches many nodes and `merging` orders what they return; `following` streams new messages, with `cursors`
to resume. `questions` are the open requests over one link, `links` finds the link of a node, and `pacing` slows
programs down to a follower.
"""
