"""A new project from a table: what is inferred (plan), and what is written (init, adopt)."""
