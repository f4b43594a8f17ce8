"""The text of every file that modelyard leaves in a person's repository. Nothing here writes."""
