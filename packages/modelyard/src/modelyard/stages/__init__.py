"""One file a stage: a function `(project) -> Record`; files in, files out. No stage knows another."""
