"""Messages of the fleet: asked of the nodes that have them, merged with what was forwarded, followed."""
