"""The serve half of modelyard: read a model package, score rows, answer HTTP."""

__version__ = "0.1.0"
