"""Fakes that tests of ours and of others may use: agents and fleets without kernels or sockets of their own."""
