"""How well grouping does on the labelled corpus: pairwise precision, recall and F1 by half.

`python -m tests.errors.corpus.score [-v]` prints them; -v also what is split or mixed in the half that
grouping may be tuned on.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter, defaultdict
from math import comb
from pathlib import Path
from typing import NamedTuple

from mamimon.errors.grouping import group
from mamimon.errors.model import Grouping
from mamimon.errors.normalise import normalise
from mamimon.errors.scrub import scrub
from tests.errors.corpus.collect import is_held_out


class Grouped(NamedTuple):
    """An event's true label and what grouping makes of it."""

    label: str
    made: Grouping


class Score(NamedTuple):
    """Pairs of events: of those put together, how many belong; of those that belong, how many are."""

    events: int
    labels: int
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean."""
        return 2 * self.precision * self.recall / (self.precision + self.recall)

    def __str__(self) -> str:
        return (
            f"F1 {self.f1:.4f} (precision {self.precision:.4f}, recall {self.recall:.4f})"
            f" over {self.events} events of {self.labels} mistakes"
        )


def corpus() -> list[Grouped]:
    """Every event of the corpus, grouped the way that ingest does."""
    found = []
    for path in sorted(Path(__file__).parent.glob("*.json.gz")):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            one = json.loads(line)
            event = normalise(one["event"], 1, 1.8e9)
            scrub(event)
            found.append(Grouped(one["label"], group(event)))
    return found


def score(rows: list[Grouped]) -> Score:
    """The pairwise score of some events."""
    labels = Counter(row.label for row in rows)
    hashes = Counter(row.made.hash for row in rows)
    both = Counter((row.label, row.made.hash) for row in rows)
    right = sum(comb(n, 2) for n in both.values())
    return Score(
        len(rows),
        len(labels),
        right / sum(comb(n, 2) for n in hashes.values()),
        right / sum(comb(n, 2) for n in labels.values()),
    )


def halves() -> tuple[Score, Score]:
    """The score of the half for tuning and of the hold-out."""
    rows = corpus()
    return (
        score([row for row in rows if not is_held_out(row.label)]),
        score([row for row in rows if is_held_out(row.label)]),
    )


def explain(rows: list[Grouped]) -> None:
    """Print what is split and what is mixed."""
    by_label, by_hash = defaultdict(list), defaultdict(list)
    for row in rows:
        by_label[row.label].append(row.made)
        by_hash[row.made.hash].append(row)
    for label, made in sorted(by_label.items()):
        distinct = {one.hash: one for one in made}
        if len(distinct) > 1:
            print(f"\nSPLIT {label}: {Counter(one.hash[:6] for one in made)}")
            for one in distinct.values():
                print(f"  [{one.hash[:6]} {one.reason}]", *one.parts, sep="\n      ")
    for found in by_hash.values():
        labels = Counter(row.label for row in found)
        if len(labels) > 1:
            print(f"\nMIXED {dict(labels)}: {found[0].made.reason}", *found[0].made.parts, sep="\n      ")


if __name__ == "__main__":
    tuned = [row for row in corpus() if not is_held_out(row.label)]
    if "-v" in sys.argv:
        explain(tuned)
    print("tuned half:", score(tuned))
