"""The one place where MLflow is imported: late, quiet, and with its telemetry off."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from typing import Any

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Seven tries, MLflow's own number, are four minutes of silence where a server answers 500.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A uv.lock of the project is not the package's environment: its only need is modelyard-serve.
    "MLFLOW_UV_AUTO_DETECT": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def load(module: str = "mlflow") -> Any:
    """Import MLflow, or one of its modules; several seconds the first time in a process."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("mlflow")
        loaded = importlib.import_module(module)
    # Where MLflow was imported before us, its loggers already speak at INFO.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return loaded
