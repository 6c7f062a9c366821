"""Scripts on their way to an interpreter: the files they lie in (`files.py`), and the one that runs Lua (`lua.py`)."""
