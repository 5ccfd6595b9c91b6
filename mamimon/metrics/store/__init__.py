"""The series store: one SQLite file a day, matrix chunks a source."""

from mamimon.metrics.store.index import predicate
from mamimon.metrics.store.scrape import Scrape, scrape_of
from mamimon.metrics.store.series import SeriesStore

__all__ = ["Scrape", "SeriesStore", "predicate", "scrape_of"]
