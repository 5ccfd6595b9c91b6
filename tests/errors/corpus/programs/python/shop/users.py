"""People and where they live."""

from dataclasses import dataclass


@dataclass
class User:
    """Somebody who buys."""

    name: str
    email: str
    address: object = None


class UserNotFound(Exception):
    """Nobody of that number."""


KNOWN = {1: User("Ada", "ada@example.com"), 2: User("Bob", "bob@example.com")}


def load_user(number):
    """A user by number."""
    if number not in KNOWN:
        raise UserNotFound(f"user {number} not found")
    return KNOWN[number]


def shipping_label(user):
    """What is printed on the parcel."""
    return user.address.street + "\n" + user.name


def greeting(user):
    """What is written above a mail."""
    return "Dear " + user.title


def from_form(form):
    """A user of a form."""
    return User(**form)


def parse_birthday(text):
    """A date."""
    import datetime

    return datetime.datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007


def decode_name(raw):
    """A name of bytes."""
    return raw.decode("utf-8")
