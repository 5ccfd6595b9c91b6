"""Everything of the events room that speaks SQL: day files, pseudonym keys, and questions to a day."""

from mamimon.events.store.days import EventStore
from mamimon.events.store.keys import PseudonymKeys

__all__ = ["EventStore", "PseudonymKeys"]
