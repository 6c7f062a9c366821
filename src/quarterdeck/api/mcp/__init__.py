"""The MCP API: tools with which a language model looks at the fleet and, with an operator's token, runs commands on it.

One file for each noun has its tools; `catalogue` lists them. A tool takes a struct and returns a struct, from which its
JSON schemas are made, and asks the same services of the server as REST does. `calls` checks roles, arguments, time and
sizes of every call and writes the audit log. `sdk` alone imports the official SDK, at the first request: the server
starts without it. `route` is the HTTP route.
"""
