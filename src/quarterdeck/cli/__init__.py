"""`qd`: one file for each noun, thin over the client, and the commands that start server and agent."""
