"""record: a guided tour of the project's true state as a film of at most five minutes.

A real browser and a real terminal stand on a screen of their own and are filmed while the scenes
of `scenes` are played on a working copy; `director` keeps the clock, the captions and the voice.
"""

from modelyard.report.tour.film import Film, record

__all__ = ["Film", "record"]
