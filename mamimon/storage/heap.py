"""Gives memory that was freed back to the system.

glibc keeps what lies between pieces still in use, in each thread's part of the heap: after counts over ten
million lines a quarter of what the process had resident was free.
"""

from __future__ import annotations


def give_back() -> None:
    """Others run meanwhile (some milliseconds); does nothing where the C library cannot."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
