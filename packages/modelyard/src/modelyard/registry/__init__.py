"""What was released, and where a result came from: champion, lineage."""
