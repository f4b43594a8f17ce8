"""DVC, in process.

Light questions (pointers, the local cache: local.py) are answered without importing it; DVC itself
is imported by the first call that needs it (session.py).
"""

from modelyard.tools.dvc.folders import bring_folder
from modelyard.tools.dvc.local import (
    Pointer,
    cache_folder,
    cache_has,
    cache_path,
    cached_file,
    configured,
    default_remote,
    file_md5,
    install_plugin,
    is_set_up,
    lock_hash,
    members,
    missing_plugin,
    output_md5,
    outputs,
    pointer_md5,
    read_pointer,
    remote_plugin,
    remote_url,
    restore_file,
)
from modelyard.tools.dvc.pipeline import reproduce, status
from modelyard.tools.dvc.repository import (
    STORE,
    add,
    checkout,
    fetch,
    forget_state,
    init,
    pull,
    push,
    remote_add_default,
    share,
)

__all__ = [
    "STORE",
    "Pointer",
    "add",
    "bring_folder",
    "cache_folder",
    "cache_has",
    "cache_path",
    "cached_file",
    "checkout",
    "configured",
    "default_remote",
    "fetch",
    "file_md5",
    "forget_state",
    "init",
    "install_plugin",
    "is_set_up",
    "lock_hash",
    "members",
    "missing_plugin",
    "output_md5",
    "outputs",
    "pointer_md5",
    "pull",
    "push",
    "read_pointer",
    "remote_add_default",
    "remote_plugin",
    "remote_url",
    "reproduce",
    "restore_file",
    "share",
    "status",
]
