"""When something that grows will be full: Theil–Sen's slope over the last hours.

The median of the slopes between all pairs of points does not mind that a log was rotated in between,
which a least-squares line does.
"""

from __future__ import annotations

from collections import deque

SPAN_S = 12 * 3600.0
EVERY_S = 300.0
LEAST_S = 1800.0


class Trend:
    """The use of one thing over time, at most a point every five minutes of twelve hours."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=int(SPAN_S / EVERY_S))

    def add(self, at: float, used: float) -> None:
        """Note the use at an instant; a clock that was set back starts anew."""
        points = self._points
        if points and at < points[-1][0]:
            points.clear()
        if not points or at - points[-1][0] >= EVERY_S:
            points.append((at, used))
        while points[0][0] < at - SPAN_S:
            points.popleft()

    def full_in_s(self, limit: float) -> float | None:
        """Seconds from the last point until `limit`; None where it does not grow or nobody knows yet."""
        points = self._points
        if len(points) < 4 or points[-1][0] - points[0][0] < LEAST_S:
            return None
        import numpy as np

        at, used = np.array(points).T
        first, second = np.triu_indices(len(at), 1)
        slope = float(np.median((used[second] - used[first]) / (at[second] - at[first])))
        if slope <= 0:
            return None
        return max(0.0, float(limit - used[-1]) / slope)
