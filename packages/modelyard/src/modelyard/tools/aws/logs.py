"""CloudWatch's log of a service."""

from __future__ import annotations

from typing import Any

from modelyard.tools.aws.session import Session


def log_events(session: Session, group: str, since: float) -> list[dict[str, Any]]:
    """Every line of a log group since a moment (Unix seconds), the oldest first.

    Raises:
        ToolFailed: there is no such group, or it may not be read.
    """
    client = session.client("logs")
    found: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while True:
        with session.asking("the log"):
            page = client.filter_log_events(
                logGroupName=group, startTime=max(0, int(since * 1000)), **more
            )
        found += page["events"]
        if not page.get("nextToken"):
            return sorted(found, key=lambda event: int(event["timestamp"]))
        more = {"nextToken": page["nextToken"]}
