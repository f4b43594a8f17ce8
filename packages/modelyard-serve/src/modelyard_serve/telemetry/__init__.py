"""What the server tells of itself: counters for Prometheus, log lines, the prediction log."""

from modelyard_serve.telemetry.telemetry import Event, Telemetry

__all__ = ["Event", "Telemetry"]
