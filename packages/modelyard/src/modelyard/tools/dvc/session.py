"""DVC itself, in process and quiet, with its errors in our words.

While DVC works, the current directory is the project's root: DVC reads some paths relative to it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from modelyard.errors import ModelyardError, ToolFailed, capped

LOST = (
    "dvc pull; where the remote does not hold it either: modelyard data checkout VERSION, "
    "or put the file back and `modelyard data add` it"
)

_ADVICE: tuple[tuple[frozenset[str], str], ...] = (
    (
        frozenset({"MissingParamsError"}),
        "add the missing section to modelyard.yaml, such as `gate: {}`: DVC watches each",
    ),
    (
        frozenset({"LockError"}),
        "wait for the other DVC or modelyard command to end; if its process is gone: "
        "rm -f .dvc/tmp/rwlock .dvc/tmp/lock",
    ),
    (
        frozenset({"RWLockFileCorruptedError", "RWLockFileFormatError"}),
        "rm -f .dvc/tmp/rwlock, then run this again",
    ),
    (
        frozenset(
            {"CheckoutError", "DownloadError", "FileMissingError", "CollectCacheError"}
            | {"MissingDataSource", "FileNotFoundError", "PathMissingError"}
        ),
        LOST,
    ),
    (
        frozenset({"RemoteMissingDepsError", "ImportError", "ModuleNotFoundError"}),
        "modelyard doctor, which names what to install for this remote",
    ),
    (
        frozenset(
            {"NoCredentialsError", "AuthError", "PermissionError", "ClientAuthenticationError"}
        ),
        "see that the remote's credentials are in the environment (S3: AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE); dvc push, to see that it works",
    ),
    (frozenset({"NotDvcRepoError"}), "dvc init, or: modelyard init --adopt"),
    (frozenset({"OutputIsNotFileOrDirError", "OutputDoesNotExistError"}), "dvc status"),
    (
        frozenset({"YAMLSyntaxError", "YAMLFileCorruptedError", "YAMLValidationError"}),
        "mend the file, or: git checkout HEAD -- dvc.yaml dvc.lock",
    ),
    (frozenset({"UploadError", "RemoteConfigError", "ConfigError"}), "dvc remote list"),
    (frozenset({"*"}), "dvc doctor ; modelyard doctor"),
)


@contextmanager
def session(root: Path, verb: str) -> Iterator[Any]:
    """An open DVC repository. Raises ToolFailed in DVC's words and with the next command."""
    with calling(root, verb) as dvc, dvc.Repo(str(root)) as repo:
        yield repo


@contextmanager
def calling(root: Path, verb: str) -> Iterator[Any]:
    """DVC's module, quiet, with its errors translated."""
    os.environ["DVC_NO_ANALYTICS"] = "1"
    import dvc.repo

    for name in ("dvc", "dvc_data", "dvc_objects"):  # also switches the progress bars off
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with chdir(root):
            yield dvc.repo
    except (ModelyardError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise _translated(verb, error) from error


def _translated(verb: str, error: Exception) -> ToolFailed:
    """Say what DVC said, why, and what to type next."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and isinstance(cause, Exception):
        chain.append(cause)
    kinds = {type(entry).__name__ for entry in chain}
    words = [" ".join(str(entry).split()) for entry in chain]
    what = f"dvc {verb} failed."
    if "StageCmdFailedError" in kinds:
        said = words[-1].removeprefix("failed to run: ")
        command = said.partition(", exited with")[0]
        return ToolFailed(
            f"`{command}` failed.", why=said, next_step=f"{command}, to see it by itself"
        )
    for names, step in _ADVICE:
        if kinds & names or names & {"*"}:
            return ToolFailed(what, why=capped(dict.fromkeys(words), 3), next_step=step)
    raise AssertionError("the last line of _ADVICE fits everything")
