"""The garbage collector of a long-lived process: what is there once the process has started is not looked at again.

A full collection visits every object with references. After the imports of a server these are a quarter of a million
objects, which stay until it ends: visiting them stops all threads for more than a tenth of a second.
"""

from __future__ import annotations

import gc


def keep_present() -> None:
    """Collect what is garbage now, and exclude all other objects from further collections.

    They are freed as before when nothing refers to them, except for those that refer to each other in a circle.
    """
    gc.collect()
    gc.freeze()
