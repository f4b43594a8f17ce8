"""From a judged candidate to a recorded release: preflight, track, release, rollback, trace."""
