"""After a release: batch scoring, drift."""
