"""What must hold."""


class Invalid(Exception):
    """Something does not hold."""


def require(holds, words):
    """Raise `Invalid` with these words unless it holds."""
    if not holds:
        raise Invalid(words)


def ensure_positive(number, name):
    """A number above 0."""
    require(number > 0, f"{name} must be positive, got {number}")
    return number
