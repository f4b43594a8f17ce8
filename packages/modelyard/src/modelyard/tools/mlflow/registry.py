"""The model registry: versions, and the aliases that point at them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.errors import ToolFailed
from modelyard.tools.mlflow.plain import DIGEST_TAG, VersionInfo
from modelyard.tools.mlflow.store import Store
from modelyard.tools.mlflow.vendor import load

_MISSING = "RESOURCE_DOES_NOT_EXIST"


def register(store: Store, model_uri: str, model_name: str, tags: Mapping[str, str]) -> str:
    """Make a logged package a version of the registered model; returns the version.

    A version of the same package digest is returned as it is, its tags renewed. The digest is taken
    from the logged package where `tags` do not give it.

    Args:
        store: the open store.
        model_uri: `models:/m-...`, from `log_package`.
        model_name: the registered model; created where it does not exist.
        tags: of the version.

    Raises:
        ToolFailed: there is no such model, or MLflow refused.
    """
    with store.lock(), store.session() as client:
        model = client.get_logged_model(model_uri.removeprefix("models:/"))
        wanted = {DIGEST_TAG: str(model.tags.get(DIGEST_TAG, model.model_id)), **tags}
        for known in _versions(client, model_name):
            if known.tags.get(DIGEST_TAG) == wanted[DIGEST_TAG]:
                for key, value in wanted.items():
                    if known.tags.get(key) != value:
                        client.set_model_version_tag(model_name, known.version, key, value)
                return known.version
        _ensure_model(client, model_name)
        created = client.create_model_version(
            model_name,
            source=model_uri,
            run_id=model.source_run_id,
            tags=wanted,
            model_id=model.model_id,
        )
        return str(created.version)


def set_alias(store: Store, model_name: str, alias: str, version: str) -> None:
    """Point an alias at a version, moving it where it exists.

    Raises:
        ToolFailed: there is no such version.
    """
    with store.session() as client:
        client.set_registered_model_alias(model_name, alias, version)


def tag_version(
    store: Store, model_name: str, digest: str, tags: Mapping[str, str], moves: str
) -> None:
    """Tag the version of a package digest; the tag `moves` is taken from every other version."""
    with store.session() as client:
        for known in _versions(client, model_name):
            if known.tags.get(DIGEST_TAG) == digest:
                for key, value in tags.items():
                    client.set_model_version_tag(model_name, known.version, key, value)
            elif moves in known.tags:
                client.delete_model_version_tag(model_name, known.version, moves)


def get_alias(store: Store, model_name: str, alias: str) -> VersionInfo | None:
    """Return the version that an alias points at, or None."""
    return next((found for found in versions(store, model_name) if alias in found.aliases), None)


def versions(store: Store, model_name: str) -> list[VersionInfo]:
    """Return the registered model's versions, the newest first; none where it is not registered."""
    with store.session() as client:
        return _versions(client, model_name)


def _versions(client: Any, model_name: str) -> list[VersionInfo]:
    if "'" in model_name:
        raise ToolFailed(
            f"The model's name {model_name!r} holds a quote.",
            why="MLflow's search knows no escape for it.",
            next_step="set track.model in modelyard.yaml",
        )
    aliases = _aliases(client, model_name)
    found: list[VersionInfo] = []
    token = None
    while aliases is not None:
        page = client.search_model_versions(f"name = '{model_name}'", page_token=token)
        for entry in page:
            number = str(entry.version)
            pointing = sorted(name for name, target in aliases.items() if str(target) == number)
            found.append(
                VersionInfo(
                    version=number,
                    run_id=entry.run_id or "",
                    source=entry.source,
                    created=entry.creation_timestamp / 1000,
                    tags=dict(entry.tags),
                    aliases=tuple(pointing),
                )
            )
        token = page.token
        if not token:
            break
    return sorted(found, key=lambda entry: int(entry.version), reverse=True)


def _aliases(client: Any, model_name: str) -> dict[str, str] | None:
    """Return alias -> version, or None where the model is not registered."""
    errors = load("mlflow.exceptions")
    try:
        return dict(client.get_registered_model(model_name).aliases)
    except errors.MlflowException as error:
        if error.error_code == _MISSING:
            return None
        raise


def _ensure_model(client: Any, model_name: str) -> None:
    errors = load("mlflow.exceptions")
    try:
        client.create_registered_model(model_name)
    except errors.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
