"""A step after the import of somebody's library, whether that comes before or after `init`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from mamimon.client.settings import warn

Step = Callable[[Any], None]

_steps: dict[str, Step] = {}


def when_imported(name: str, step: Step) -> None:
    """Call `step` with a module now if it is loaded, else right after it is; it must bear a second call."""
    _steps[name] = step
    if name in sys.modules:
        _take(name, sys.modules[name])
    elif _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def forget() -> None:
    """Take no steps any more."""
    _steps.clear()
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


def _take(name: str, module: Any) -> None:
    step = _steps.get(name)
    try:
        if step is not None:
            step(module)
    except Exception as error:  # a version that is built otherwise
        warn(f"{name} cannot be watched: {error!r}")


class _Finder:
    """Finds nothing itself; it lets the other finders find, and adds to what they will do."""

    def __init__(self) -> None:
        self._asking: set[str] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """What the other finders find, its loading followed by the step."""
        if name not in _steps or name in self._asking:
            return None
        from importlib.util import find_spec

        self._asking.add(name)
        try:
            spec = find_spec(name)
        finally:
            self._asking.discard(name)
        loader: Any = spec.loader if spec is not None else None
        if loader is not None and hasattr(loader, "exec_module"):
            execute = loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                _take(name, module)

            loader.exec_module = exec_module
        return spec


_finder = _Finder()
