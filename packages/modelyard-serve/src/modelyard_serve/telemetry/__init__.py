"""What the server tells of itself: counters for Prometheus, log lines, the prediction log."""

from modelyard_serve.telemetry.log import Line
from modelyard_serve.telemetry.telemetry import Telemetry

__all__ = ["Line", "Telemetry"]
