"""MLflow: runs, the portable store, logged packages, the model registry.

Plain values go in and come out. Importing this package is cheap: MLflow itself is imported by
`open_store` (see vendor.py), so that light commands never pay for it.
"""

from modelyard.tools.mlflow.location import sqlite_file, without_password
from modelyard.tools.mlflow.packages import download_package, log_package, package_uri
from modelyard.tools.mlflow.plain import (
    DIGEST_TAG,
    DatasetToLog,
    RunInfo,
    RunToLog,
    TrialToLog,
    VersionInfo,
)
from modelyard.tools.mlflow.preflight import preflight
from modelyard.tools.mlflow.registry import get_alias, register, set_alias, tag_version, versions
from modelyard.tools.mlflow.runs import find_runs, log_run, search_runs
from modelyard.tools.mlflow.store import Store, open_store, prepare

__all__ = [
    "DIGEST_TAG",
    "DatasetToLog",
    "RunInfo",
    "RunToLog",
    "Store",
    "TrialToLog",
    "VersionInfo",
    "download_package",
    "find_runs",
    "get_alias",
    "log_package",
    "log_run",
    "open_store",
    "package_uri",
    "preflight",
    "prepare",
    "register",
    "search_runs",
    "set_alias",
    "sqlite_file",
    "tag_version",
    "versions",
    "without_password",
]
