"""Scripts of jobs: the files that they are run from (`files.py`), and the program that runs Lua (`lua.py`)."""
