"""CycloneDX: the bill of materials of an image."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Part:
    """A component: a wheel (`kind` library), or the model package (machine-learning-model)."""

    kind: str
    name: str
    version: str
    sha256: str
    purl: bool = False
    file: str = ""
    properties: tuple[tuple[str, str], ...] = ()


def document(
    name: str,
    version: str,
    parts: Sequence[Part],
    properties: Mapping[str, str],
    *,
    when: datetime,
    seed: str,
) -> bytes:
    """A CycloneDX 1.6 document; equal inputs give equal bytes.

    Args:
        name: of the image, which the document describes.
        when: the document's time.
        seed: what its serial number is made from.
    """
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.dependency import Dependency
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    kinds = {
        "library": ComponentType.LIBRARY,
        "machine-learning-model": ComponentType.MACHINE_LEARNING_MODEL,
    }
    components = [
        Component(
            type=kinds[part.kind],
            name=part.name,
            version=part.version,
            bom_ref=f"{part.name}@{part.version}",
            purl=PackageURL("pypi", None, part.name, part.version) if part.purl else None,
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)],
            properties=[
                Property(name=key, value=value)
                for key, value in (*part.properties, ("modelyard:file", part.file))
                if value
            ],
        )
        for part in parts
    ]
    root = Component(
        type=ComponentType.CONTAINER,
        name=name,
        version=version,
        bom_ref=f"image:{name}@{version}",
        properties=[Property(name=key, value=value) for key, value in properties.items() if value],
    )
    bom = Bom(
        components=components,
        metadata=BomMetaData(component=root, timestamp=when),
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, seed),
        dependencies=[
            Dependency(root.bom_ref, [Dependency(each.bom_ref) for each in components]),
            *(Dependency(each.bom_ref) for each in components),
        ],
    )
    text = JsonV1Dot6(bom).output_as_string()
    return (json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n").encode()
