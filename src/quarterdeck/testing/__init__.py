"""Fakes for our tests and those of others: agents and fleets that need no kernel or sockets of their own."""
