"""The async client: `client` has the namespaces, one file a noun; `connection` sends their calls."""
