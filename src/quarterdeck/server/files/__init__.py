"""Contents by their hash: what nodes fetch, what they send, and how far that is."""
