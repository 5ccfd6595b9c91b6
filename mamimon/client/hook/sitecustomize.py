"""Python loads this by itself at its start where `mamimon run` has put its folder on PYTHONPATH.

It notes an uncaught exception with its frames for `mamimon run` and changes nothing else: the traceback is
printed as always, and a `sitecustomize` of the program's own is loaded as if this one were not there. Any
Python may meet it, so its syntax is old, and before 3.9 it only loads that other one.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

import os
import sys

_FOLDER = os.path.dirname(os.path.abspath(__file__))


def _next():
    """Load the `sitecustomize` that this one stands before."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != _FOLDER]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


def _note(error, thread):
    """Write the exception to the folder of `mamimon run`, unless the program reports its own."""
    agent = sys.modules.get("mamimon.client.agent")
    if agent is not None and agent.shipper() is not None:
        return
    root = os.path.dirname(os.path.dirname(os.path.dirname(_FOLDER)))
    added = "mamimon" not in sys.modules
    if added:
        sys.path.append(root)
    try:
        from mamimon.client.frames import write_note
    finally:
        if added:
            sys.path.remove(root)
    write_note(error, thread, os.environ["MAMIMON_RUN_NOTES"])


def _watch():
    import threading

    main, other = sys.excepthook, threading.excepthook

    def on_main(kind, error, trace):
        if issubclass(kind, Exception):
            _quietly(error, "")
        main(kind, error, trace)

    def on_thread(arguments):
        if isinstance(arguments.exc_value, Exception):
            _quietly(arguments.exc_value, getattr(arguments.thread, "name", ""))
        other(arguments)

    sys.excepthook, threading.excepthook = on_main, on_thread


def _quietly(error, thread):
    try:
        _note(error, thread)
    except Exception as problem:
        if os.environ.get("MAMIMON_RUN_DEBUG"):
            sys.stderr.write("mamimon: an exception could not be noted: %r\n" % (problem,))


if sys.version_info >= (3, 9) and os.environ.get("MAMIMON_RUN_NOTES"):
    _watch()
if sys.version_info >= (3, 5):
    _next()
