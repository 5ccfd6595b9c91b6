"""Whether numbers that grow do so evenly: then a stride stands for a list of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def even_step(numbers: npt.NDArray[np.int64]) -> int:
    """How far apart they are, if all are equally far and grow; else 0, as for fewer than two."""
    step = int(numbers[1] - numbers[0]) if len(numbers) > 1 else 0
    return step if step > 0 and (numbers[1:] - numbers[:-1] == step).all() else 0
