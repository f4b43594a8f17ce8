"""What an image says of itself: OCI labels, and its bill of materials."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from modelyard.project import Project
from modelyard.records import ChampionRecord, Wheel
from modelyard.tools import cyclonedx

OWN = "dev.modelyard."
"""Prefix of the labels that OCI has no name for."""


def labels(project: Project, release: ChampionRecord, *, base: str, base_id: str) -> dict[str, str]:
    """OCI's annotations and the release's lineage. Equal for equal inputs, whenever it is built."""
    section = project.settings.project
    found = {
        "org.opencontainers.image.title": release.model,
        "org.opencontainers.image.description": section.description
        or f"Predicts {project.settings.data.target}.",
        "org.opencontainers.image.version": release.version,
        "org.opencontainers.image.revision": release.commit,
        "org.opencontainers.image.created": release.since,
        "org.opencontainers.image.base.name": base,
        "org.opencontainers.image.base.digest": base_id,
        f"{OWN}model": release.model,
        f"{OWN}version": release.version,
        f"{OWN}run": release.run_id,
        f"{OWN}commit": release.commit,
        f"{OWN}data.version": release.data_version,
        f"{OWN}data.md5": release.data_md5,
        f"{OWN}model.digest": release.model_digest,
        f"{OWN}package.digest": release.package_digest,
        f"{OWN}serve": version("modelyard-serve"),
    }
    return {name: value for name, value in found.items() if value}


def sbom(name: str, release: ChampionRecord, wheels: Sequence[Wheel], *, base: str) -> bytes:
    """The bill of materials: every wheel and the model package. Equal for equal inputs."""
    parts = [
        cyclonedx.Part("library", one.name, one.version, one.sha256, purl=True, file=one.file)
        for one in wheels
    ]
    lineage = {
        "modelyard:run": release.run_id,
        "modelyard:commit": release.commit,
        "modelyard:data_version": release.data_version,
        "modelyard:data_md5": release.data_md5,
        "modelyard:model_digest": release.model_digest,
    }
    parts.append(
        cyclonedx.Part(
            "machine-learning-model",
            release.model,
            release.version,
            release.package_digest,
            file="package/manifest.json",
            properties=tuple(lineage.items()),
        )
    )
    digests = ",".join(part.sha256 for part in parts)
    return cyclonedx.document(
        name,
        release.version,
        parts,
        {"modelyard:base": base},
        when=datetime.fromisoformat(release.since).astimezone(UTC),
        seed=f"modelyard:{name}:{release.version}:{digests}",
    )
