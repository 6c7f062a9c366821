"""`qd`: one file a noun, thin over the client; and what starts server and agent."""
