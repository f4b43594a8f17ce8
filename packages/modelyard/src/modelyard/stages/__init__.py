"""One file or folder a stage: a function `(project) -> Record`; files in, files out.

They know no sibling.
"""
