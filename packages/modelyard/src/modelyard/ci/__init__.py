"""What a pipeline does: its checks, its runs on this machine, its report for a proposed change."""
