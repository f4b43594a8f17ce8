"""What the stages write and git keeps: metrics, plots, records.

dvc.lock names the md5 of each such file under its stage. Where both sides changed one, both ran its
stage, and dvc.lock is the one conflict that says so: here ours stays, whole and without markers,
until the stage has been run again.
"""

from __future__ import annotations

from modelyard.merging.outcome import Outcome


def merge(base: bytes, ours: bytes, theirs: bytes, path: str) -> Outcome:
    """Keep ours, unless the other side alone has changed the file."""
    return Outcome(theirs if ours == base else ours)
