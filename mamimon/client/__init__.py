"""The application side: logging, middleware, metrics, errors, events and shipping.

Stands alone: imports nothing else of mamimon and, at import, only the standard library.
Runs on Python 3.9 and later. The promise to the application it lives in: never raise into it,
never block it for longer than a millisecond, and count whatever had to be given up.
"""
