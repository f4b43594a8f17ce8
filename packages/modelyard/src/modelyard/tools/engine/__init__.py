"""The container engine, by its program: docker or podman. Both take the same words."""

from modelyard.tools.engine.containers import (
    call_inside,
    export,
    log,
    memory_bytes,
    names,
    published_port,
    remove,
    start,
    state,
)
from modelyard.tools.engine.find import Engine, find
from modelyard.tools.engine.images import (
    Image,
    build,
    build_command,
    image,
    remove_image,
    save,
    secure,
)

__all__ = [
    "Engine",
    "Image",
    "build",
    "build_command",
    "call_inside",
    "export",
    "find",
    "image",
    "log",
    "memory_bytes",
    "names",
    "published_port",
    "remove",
    "remove_image",
    "save",
    "secure",
    "start",
    "state",
]
