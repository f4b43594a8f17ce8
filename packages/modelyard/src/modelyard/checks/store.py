"""MLflow's store: can it be opened, and by this version?"""

from __future__ import annotations

import os

from modelyard.checks.finding import Finding
from modelyard.errors import ModelyardError
from modelyard.project import Project
from modelyard.tools import mlflow


def check(project: Project) -> list[Finding]:
    """Open the store as a run would, without importing MLflow."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or project.settings.track.uri
    file = mlflow.sqlite_file(project.root, uri)
    if file is not None and not file.is_file():
        return [Finding("mlflow", "ok", "the store is made by the first run")]
    try:
        mlflow.preflight(project.root, uri)
    except ModelyardError as error:
        return [Finding("mlflow", "error", f"{error.what} {error.why}".strip(), error.next_step)]
    return [Finding("mlflow", "ok", f"{mlflow.without_password(uri)} can be opened")]
