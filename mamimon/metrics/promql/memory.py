"""Tells glibc to keep the few megabytes that a tile's intermediate arrays take.

By default it gives them back to the system after every tile, and getting them anew, a page fault for each
4 KiB, took longer than the arithmetic: 18,000 faults for a day of a thousand series, 2,700 so.
"""

from __future__ import annotations

import ctypes
from functools import cache

KEPT_BYTES = 8 << 20
"""Free memory that each thread's part of the heap may keep."""
LARGE_BYTES = 4 << 20
"""Larger arrays are mapped by themselves, in huge pages, and given back at once."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


@cache
def keep_scratch() -> None:
    """Once a process; does nothing where the C library knows no such thing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
