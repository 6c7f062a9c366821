"""Live streams: `stream` has the common part; each noun that can be followed has a file."""
