"""Named experiments: the costs and rates of Quarterdeck, each measured with a peer or a physical limit in the same run.

    python -m bench NAME        one experiment
    python -m bench all         every one, each in a process of its own
    python -m bench --list      their names and first lines

Each prints one line of JSON; progress goes to stderr. README.md has the last figures and says how to read them.
"""
