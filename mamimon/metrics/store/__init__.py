"""The series store: one SQLite file a day, matrix chunks a source."""

from mamimon.metrics.store.index import predicate
from mamimon.metrics.store.series import Scrape, SeriesStore, scrape_of

__all__ = ["Scrape", "SeriesStore", "predicate", "scrape_of"]
