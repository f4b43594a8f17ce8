"""Model packages in MLflow: logged as pyfunc models that the scorer answers, and fetched back."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import ToolFailed
from modelyard.tools.mlflow.plain import DIGEST_TAG
from modelyard.tools.mlflow.store import Store
from modelyard.tools.mlflow.vendor import load

if TYPE_CHECKING:  # forms imports numpy, which light commands must not pay for
    from modelyard.forms import Value

MANIFEST = "manifest.json"
LOADER = "modelyard_serve.pyfunc"
_INSIDE = "package"
_LOGGED = re.compile(r"models:/(m-[0-9a-f]+)")


def log_package(
    store: Store,
    run_id: str,
    package: Path,
    model_name: str,
    input_example: Sequence[Mapping[str, Value]] = (),
    tags: Mapping[str, str] | None = None,
) -> str:
    """Log a model package as the run's MLflow model; returns its `models:/m-...` URI.

    `mlflow.pyfunc.load_model` of that URI, or of a version registered from it, takes a frame of raw
    columns and answers by way of the scorer. Nothing is pickled, and no requirement is inferred:
    the model needs modelyard-serve and nothing else. A package that the run already has is not
    logged again; what an interrupted call left is deleted.

    Args:
        store: the open store.
        run_id: the parent run.
        package: the model package's folder.
        model_name: the registered model's name.
        input_example: raw rows.
        tags: further tags of the logged model.

    Raises:
        ToolFailed: the folder is no model package, or MLflow refused.
    """
    package = package.resolve()
    manifest, digest = _manifest(package)
    with store.lock(), store.session() as client:
        finished = None
        for earlier in _models_of(client, store, run_id, digest):
            if earlier.status == "READY" and finished is None:
                finished = earlier.model_id
            else:
                client.delete_logged_model(earlier.model_id)
        if finished is not None:
            return f"models:/{finished}"
        entities = load("mlflow.entities")
        run = client.get_run(run_id)
        model = client.create_logged_model(
            store.experiment_id,
            name=re.sub(r"""[/:.%"']""", "-", model_name),
            source_run_id=run_id,
            params=dict(run.data.params),
            tags={**(tags or {}), DIGEST_TAG: digest},
            model_type=manifest["task"],
        )
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            _save(folder, package, manifest, model, run_id, input_example)
            client.log_model_artifacts(model.model_id, str(folder))
        client.log_outputs(run_id, [entities.LoggedModelOutput(model.model_id, 0)])
        _link_metrics(client, run_id, model.model_id, manifest)
        client.finalize_logged_model(model.model_id, "READY")
        return f"models:/{model.model_id}"


def package_uri(store: Store, run_id: str) -> str | None:
    """Return the `models:/m-...` URI of the package that a run logged, or None."""
    with store.session() as client:
        for model in _models_of(client, store, run_id, None):
            if model.status == "READY":
                return f"models:/{model.model_id}"
    return None


def download_package(store: Store, source: str, destination: Path) -> Path:
    """Fetch a model package out of MLflow, whole or not at all; returns `destination`.

    Args:
        store: the open store.
        source: a run id, or a model's URI: `models:/m-...`, `models:/NAME/3`,
            `models:/NAME@champion`.
        destination: a folder that does not exist, or is empty, or holds a model package, which is
            then replaced.

    Raises:
        ToolFailed: there is no such model, it holds no package, or the destination holds something
            else.
    """
    destination = destination.absolute()
    if destination.exists() and not _replaceable(destination):
        raise ToolFailed(
            f"{destination.name} is in the way.",
            why=f"{destination} exists and is not a model package.",
            next_step="choose another folder",
        )
    uri = source if source.startswith("models:/") else package_uri(store, source)
    if uri is None:
        raise ToolFailed(
            f"Run {source} has no model package.",
            why="It was logged without one, or its logging was interrupted.",
            next_step="modelyard run",
        )
    destination.parent.mkdir(parents=True, exist_ok=True)
    artifacts = load("mlflow.artifacts")
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".package-") as scratch:
        with store.session() as client:
            place = uri
            if model_id := _LOGGED.fullmatch(uri):
                # MLflow reads models:/m-.../data as a registered model's name and stage.
                place = client.get_logged_model(model_id[1]).artifact_location
            fetched = Path(
                artifacts.download_artifacts(
                    artifact_uri=f"{place}/data/{_INSIDE}", dst_path=scratch, tracking_uri=store.uri
                )
            )
        _manifest(fetched)
        if destination.exists():
            destination.rename(Path(scratch) / "replaced")
        fetched.rename(destination)
    return destination


def _replaceable(folder: Path) -> bool:
    return folder.is_dir() and ((folder / MANIFEST).is_file() or not any(folder.iterdir()))


def _manifest(package: Path) -> tuple[dict[str, Any], str]:
    """Return the manifest as plain JSON, and the package's digest."""
    try:
        text = (package / MANIFEST).read_bytes()
        manifest = json.loads(text)
        if not isinstance(manifest["features"], list) or not isinstance(manifest["task"], str):
            raise TypeError("features or task are of the wrong type")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolFailed(
            f"{package.name} is not a model package.",
            why=f"{package / MANIFEST}: {error}",
            next_step="modelyard run",
        ) from error
    return manifest, hashlib.sha256(text).hexdigest()


def _models_of(client: Any, store: Store, run_id: str, digest: str | None) -> list[Any]:
    query = f"source_run_id = '{run_id}'"
    if digest is not None:
        query += f" AND tags.`{DIGEST_TAG}` = '{digest}'"
    return list(client.search_logged_models([store.experiment_id], filter_string=query))


def _save(
    folder: Path,
    package: Path,
    manifest: Mapping[str, Any],
    model: Any,
    run_id: str,
    example: Sequence[Mapping[str, Value]],
) -> None:
    pyfunc, models = load("mlflow.pyfunc"), load("mlflow.models")
    staged = folder.parent / _INSIDE
    # MLflow keeps the folder's own name, so the copy has the one that download_package looks for.
    shutil.copytree(package, staged)
    names = [feature["name"] for feature in manifest["features"]]
    frame = None
    if example:
        frame = load("pandas").DataFrame(
            [[row.get(n) for n in names] for row in example], columns=names
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's advice to give an example: the caller's choice
        pyfunc.save_model(
            path=str(folder),
            loader_module=LOADER,
            data_path=str(staged),
            mlflow_model=models.Model(
                artifact_path=model.artifact_location,
                run_id=run_id,
                model_uuid=model.model_id,
                model_id=model.model_id,
            ),
            signature=_signature(manifest),
            input_example=frame,
            pip_requirements=[f"modelyard-serve=={version('modelyard-serve')}"],
            metadata={
                "format": manifest.get("format"),
                "kinds": {feature["name"]: feature["kind"] for feature in manifest["features"]},
            },
        )


def _signature(manifest: Mapping[str, Any]) -> Any:
    """Return MLflow's signature: the names, and `any` as every input's type.

    MLflow's narrower types refuse what the package takes: `long` refuses an integer column with a
    null, `double` refuses one without (int64 does not fit float64 exactly), `boolean` and `string`
    refuse a column of NaN, `datetime` refuses ISO text. The scorer checks each value and names
    row and column; the columns' kinds stand in the model's metadata.
    """
    schema, models = load("mlflow.types.schema"), load("mlflow.models")
    inputs = [schema.ColSpec(schema.AnyType(), feature["name"]) for feature in manifest["features"]]
    answer = "double" if manifest["task"] == "regression" else "string"
    return models.ModelSignature(
        inputs=schema.Schema(inputs),
        outputs=schema.Schema([schema.ColSpec(answer, manifest.get("target") or "prediction")]),
        params=schema.ParamSchema([schema.ParamSpec("probabilities", "boolean", False)]),
    )


def _link_metrics(client: Any, run_id: str, model_id: str, manifest: Mapping[str, Any]) -> None:
    """Give the model the run's metrics of the manifest's names, for MLflow's model page."""
    metric = load("mlflow.entities").Metric
    linked = []
    for name in manifest.get("metrics") or {}:
        for entry in client.get_metric_history(run_id, name)[-1:]:
            linked.append(
                metric(entry.key, entry.value, entry.timestamp, entry.step, model_id=model_id)
            )
    if linked:
        client.log_batch(run_id, metrics=linked, synchronous=True)
