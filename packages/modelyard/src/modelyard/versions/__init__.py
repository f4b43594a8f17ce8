"""The verbs of `modelyard data`: a data version is a DVC hash at a git tag data/vN."""
