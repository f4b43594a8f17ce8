"""git, by its program. Every function takes the folder it works in; paths are relative to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelyard.errors import ToolFailed

NAME, EMAIL = "modelyard", "modelyard@localhost"
"""Who commits where the person has not told git who they are."""


@dataclass(frozen=True)
class Tag:
    """An annotated tag (or a light one: its message is then the commit's). `when` is ISO 8601."""

    name: str
    commit: str
    when: str
    message: str


@dataclass(frozen=True)
class Commit:
    """One commit. `refs` are the branches and tags that stand on it; `when` is ISO 8601."""

    id: str
    parents: tuple[str, ...]
    when: str
    refs: tuple[str, ...]
    subject: str


def is_repo(folder: Path) -> bool:
    """Whether the folder is in the working tree of a git repository."""
    found = _call(folder, ["rev-parse", "--is-inside-work-tree"], check=False)
    return found.returncode == 0 and found.stdout.strip() == b"true"


def toplevel(folder: Path) -> Path | None:
    """The root of the repository that the folder is in, or None."""
    found = _call(folder, ["rev-parse", "--show-toplevel"], check=False)
    return Path(os.fsdecode(found.stdout.rstrip(b"\n"))) if found.returncode == 0 else None


def init(folder: Path, branch: str = "main") -> None:
    """Make an empty repository with this first branch."""
    _call(folder, ["init", "--quiet", f"--initial-branch={branch}"])


def add(folder: Path, paths: Sequence[str | Path]) -> None:
    """Stage the named paths, deletions included."""
    if paths:
        _call(folder, ["add", "--all", "--", *_texts(paths)])


def commit(folder: Path, message: str, paths: Sequence[str | Path]) -> str:
    """Commit the named paths as they are in the working tree; return the commit.

    What else is staged stays staged and is not committed. Where the paths are as in HEAD already,
    nothing is committed and HEAD is returned.
    """
    before = head(folder)
    if not paths:
        # Without a path, git would take the whole tree.
        return before or ""
    add(folder, paths)
    if before is not None:
        same = _call(
            folder, ["diff", "--quiet", "HEAD", "--", *_texts(paths)], check=False
        ).returncode
        if same == 0:
            return before
    _call(
        folder,
        [*_identity(folder), "commit", "--quiet", "--only", "-m", message, "--", *_texts(paths)],
    )
    return rev_parse(folder, "HEAD")


def undo_commit(folder: Path, made: str, paths: Sequence[str | Path]) -> bool:
    """Take back the newest commit if it is still `made`; the working tree is left alone.

    Returns False, and does nothing, where somebody has committed since.
    """
    if head(folder) != made:
        return False
    parent = resolve(folder, f"{made}^")
    if parent is None:
        _call(folder, ["update-ref", "-d", "HEAD", made])
    else:
        _call(folder, ["update-ref", "HEAD", parent, made])
    unstage(folder, paths)
    return True


def tag(folder: Path, name: str, message: str, rev: str = "HEAD") -> None:
    """Make an annotated tag."""
    _call(
        folder,
        [*_identity(folder), "tag", "--annotate", "--cleanup=whitespace", "-m", message, name, rev],
    )


def tags(folder: Path, pattern: str = "**") -> list[Tag]:
    """The tags that match a shell pattern, ordered by the numbers in their names."""
    fields = (
        "%(refname:strip=2)",
        "%(*objectname)",
        "%(objectname)",
        "%(creatordate:iso-strict)",
        "%(contents:subject)%0a%0a%(contents:body)",
    )
    form = "%00".join(fields) + "%1e"
    text = _call(
        folder,
        ["for-each-ref", "--sort=version:refname", f"--format={form}", f"refs/tags/{pattern}"],
    ).stdout.decode("utf-8", "replace")
    found = []
    for line in text.split("\x1e"):
        if line.strip("\n"):
            name, target, own, when, message = line.lstrip("\n").split("\0")
            found.append(Tag(name, target or own, when, message.strip()))
    return found


def next_number(folder: Path, prefix: str) -> int:
    """One more than the highest N of the tags `prefixN`, 1 where there is none."""
    tails = (entry.name.removeprefix(prefix) for entry in tags(folder, f"{prefix}*"))
    return 1 + max((int(tail) for tail in tails if tail.isdecimal()), default=0)


def unstage(folder: Path, paths: Sequence[str | Path]) -> None:
    """Take the named paths out of the index, back to HEAD; the working tree is left alone."""
    if not paths:
        return  # without a path, git would reset the whole index
    if head(folder) is None:
        _call(
            folder,
            ["rm", "-r", "--cached", "--quiet", "--ignore-unmatch", "--", *_texts(paths)],
        )
    else:
        _call(folder, ["reset", "--quiet", "--", *_texts(paths)])


def head(folder: Path) -> str | None:
    """The commit that is checked out, or None before the first one (or outside a repository)."""
    found = _call(folder, ["rev-parse", "--quiet", "--verify", "HEAD^{commit}"], check=False)
    return found.stdout.decode().strip() if found.returncode == 0 else None


def branch(folder: Path) -> str | None:
    """The branch that is checked out, or None where HEAD is detached."""
    found = _call(folder, ["symbolic-ref", "--quiet", "--short", "HEAD"], check=False)
    return found.stdout.decode().strip() if found.returncode == 0 else None


def origin_branch(folder: Path) -> str | None:
    """The branch that `origin` has checked out, as this clone knows it, or None."""
    found = _call(
        folder, ["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"], check=False
    )
    return found.stdout.decode().strip().removeprefix("origin/") or None


def rev_parse(folder: Path, rev: str) -> str:
    """The full name of a commit. Raises ToolFailed where there is none."""
    text = _call(folder, ["rev-parse", "--verify", f"{rev}^{{commit}}"]).stdout
    return text.decode().strip()


def resolve(folder: Path, rev: str) -> str | None:
    """The full name of a commit, or None where git knows no such commit."""
    found = _call(folder, ["rev-parse", "--quiet", "--verify", f"{rev}^{{commit}}"], check=False)
    return found.stdout.decode().strip() if found.returncode == 0 else None


def ancestors(folder: Path, rev: str = "HEAD", limit: int | None = None) -> list[str]:
    """The commit and all that it stands on, newest first."""
    capped = [f"--max-count={limit}"] if limit is not None else []
    return _call(folder, ["rev-list", *capped, rev]).stdout.decode().split()


def is_ancestor(folder: Path, old: str, new: str) -> bool:
    """Whether `new` stands on `old` (or is it)."""
    return _call(folder, ["merge-base", "--is-ancestor", old, new], check=False).returncode == 0


def switch(folder: Path, name: str, *, create: bool = False) -> None:
    """Change to a branch; `create` makes it at HEAD."""
    _call(folder, ["switch", "--quiet", *(["--create"] if create else []), name])


def checkout(folder: Path, rev: str, paths: Sequence[str | Path] = ()) -> None:
    """Check out a revision (detached if it is no branch), or the named paths of it."""
    tail = ["--", *_texts(paths)] if paths else []
    _call(folder, ["checkout", "--quiet", rev, *tail])


def merge_no_ff(folder: Path, name: str, message: str) -> str:
    """Merge a branch with a merge commit of this message; return the commit.

    Raises:
        ToolFailed: the merge conflicts; it is taken back, so that nothing is half merged.
    """
    try:
        _call(folder, [*_identity(folder), "merge", "--quiet", "--no-ff", "-m", message, name])
    except ToolFailed:
        _call(folder, ["merge", "--abort"], check=False)
        raise
    return rev_parse(folder, "HEAD")


def changed_files(folder: Path) -> list[str]:
    """Paths under the folder that differ from HEAD, untracked ones included, sorted."""
    text = _call(
        folder,
        ["status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--", "."],
        # Reading must not take the index lock away from a git that works beside us.
        env={"GIT_OPTIONAL_LOCKS": "0"},
    ).stdout
    prefix = _call(folder, ["rev-parse", "--show-prefix"]).stdout.rstrip(b"\n")
    return sorted(
        os.fsdecode(entry[3:].removeprefix(prefix)) for entry in text.split(b"\0") if entry
    )


def is_tracked(folder: Path, path: str) -> bool:
    """Whether git keeps this file."""
    return bool(_call(folder, ["ls-files", "--", *_texts([path])]).stdout)


def show(folder: Path, spec: str) -> bytes | None:
    """The content of `REV:PATH`, the path relative to the folder; None where it does not exist."""
    rev, _, path = spec.partition(":")
    if path and not path.startswith(("./", "../")):
        path = f"./{path}"
    found = _call(folder, ["cat-file", "blob", f"{rev}:{path}"], check=False)
    return found.stdout if found.returncode == 0 else None


def log_graph(folder: Path, limit: int = 30) -> str:
    """`git log --graph` of all branches as text, one line a commit."""
    if head(folder) is None:
        return ""
    text = _call(
        folder,
        ["log", "--graph", "--oneline", "--decorate", "--all", "--no-color", f"-n{limit}"],
    ).stdout
    return text.decode("utf-8", "replace").rstrip("\n")


def history(folder: Path, limit: int = 30) -> list[Commit]:
    """The newest commits of all branches and tags, children before their parents."""
    if head(folder) is None:
        return []
    form = "%H%x00%P%x00%cI%x00%D%x00%s%x1e"
    text = _call(
        folder,
        ["log", "--branches", "--tags", "HEAD", "--topo-order", "--decorate=short",
         f"--format={form}", f"-n{limit}"],
    ).stdout.decode("utf-8", "replace")  # fmt: skip
    found = []
    for line in text.split("\x1e"):
        if line.strip("\n"):
            name, parents, when, refs, subject = line.lstrip("\n").split("\0")
            named = tuple(ref.removeprefix("HEAD -> ") for ref in refs.split(", ") if ref)
            found.append(Commit(name, tuple(parents.split()), when, named, subject))
    return found


def archive(folder: Path, target: Path, rev: str = "HEAD") -> None:
    """Write the tree of a revision as a tar file, the same bytes for the same commit."""
    _call(folder, ["archive", "--format=tar", f"--output={target}", rev])


def prefix(folder: Path) -> str:
    """Where a folder lies in its repository, such as `teams/ml`; empty at its top."""
    found = _call(folder, ["rev-parse", "--show-prefix"]).stdout
    return os.fsdecode(found.rstrip(b"\n")).rstrip("/")


def is_shallow(folder: Path) -> bool:
    """Whether the history was cut off when the repository was cloned."""
    return _call(folder, ["rev-parse", "--is-shallow-repository"]).stdout.strip() == b"true"


def bundle(folder: Path, target: Path) -> None:
    """Write every branch and tag with its whole history as one file that can be cloned from."""
    _call(
        folder,
        ["-c", "pack.threads=1", "bundle", "create", "--quiet", str(target), "--branches",
         "--tags", "HEAD"],
    )  # fmt: skip


def clone_whole(source: Path, target: Path) -> None:
    """Clone a repository or a bundle; the branches of a bundle become local ones."""
    _call(target.parent, ["clone", "--quiet", str(source), str(target)])
    text = _call(target, ["for-each-ref", "--format=%(refname:strip=3)", "refs/remotes/origin"])
    for name in text.stdout.decode().split():
        if name not in ("HEAD", branch(target)):
            _call(target, ["branch", "--quiet", "--no-track", name, f"origin/{name}"])
    _call(target, ["remote", "remove", "origin"])


SECRETS = (
    ".env", ".env.*", "gha-creds-*.json", "*.pem", "*.key", "*.p12", "id_rsa", "id_ed25519",
    ".netrc", ".pypirc",
)  # fmt: skip
"""Names of files that hold credentials: they never go into a patch."""


def diff_patch(folder: Path, exclude: Sequence[str] = ()) -> bytes:
    """Everything that differs from HEAD as one patch, untracked and binary files included.

    `git apply` (at the repository's root) on a clean checkout of HEAD re-creates the tree. Ignored
    files, files of credentials (`SECRETS`) and `exclude` (paths, with all below them) are left out.
    The person's index and object store are not touched: both are borrowed copies.
    """
    inside = Path(
        os.fsdecode(_call(folder, ["rev-parse", "--absolute-git-dir"]).stdout.rstrip(b"\n"))
    )
    shared = _git_path(folder, "objects")
    index = _git_path(folder, "index")
    spec = [".", *(f":(exclude,literal){path}" for path in exclude)]
    spec += [f":(exclude,glob)**/{name}" for name in SECRETS]
    with tempfile.TemporaryDirectory(prefix="modelyard-patch-", dir=inside) as scratch:
        borrowed = {
            "GIT_INDEX_FILE": f"{scratch}/index",
            "GIT_OBJECT_DIRECTORY": f"{scratch}/objects",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(shared),
        }
        Path(scratch, "objects").mkdir()
        if index.is_file():
            shutil.copy2(index, f"{scratch}/index")  # keeps file times: unchanged files stay unread
        _call(folder, ["add", "--all", "--", *spec], env=borrowed)
        base = (
            head(folder)
            or _call(folder, ["hash-object", "-t", "tree", "-w", "--stdin"], env=borrowed)
            .stdout.decode()
            .strip()
        )
        return _call(
            folder,
            [
                *("diff", "--cached", "--binary", "--full-index", "--no-renames", "--no-color"),
                *("--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/"),
                *(base, "--", *spec),
            ],
            env=borrowed,
        ).stdout


def apply_patch(folder: Path, patch: bytes) -> None:
    """Apply what `diff_patch` gave to the working tree."""
    if patch:
        _call(folder, ["apply", "--whitespace=nowarn", "-"], stdin=patch)


def user(folder: Path) -> str:
    """Who commits here, as `Name <address>`."""
    who, address = (_config(folder, f"user.{key}") for key in ("name", "email"))
    return f"{who or NAME} <{address or EMAIL}>"


def has_identity(folder: Path) -> bool:
    """Whether the person has told git their name and address."""
    return bool(_config(folder, "user.name") and _config(folder, "user.email"))


def _identity(folder: Path) -> list[str]:
    """Options that name modelyard as the committer, only for what git does not know itself."""
    options = []
    for key, value in (("user.name", NAME), ("user.email", EMAIL)):
        if not _config(folder, key):
            options += ["-c", f"{key}={value}"]
    return options


def _config(folder: Path, key: str) -> str:
    found = _call(folder, ["config", "--get", key], check=False)
    return found.stdout.decode("utf-8", "replace").strip()


def _git_path(folder: Path, name: str) -> Path:
    text = _call(folder, ["rev-parse", "--git-path", name]).stdout.rstrip(b"\n")
    return (folder / os.fsdecode(text)).resolve()


def _texts(paths: Sequence[str | Path]) -> list[str]:
    """Paths as git takes them; literal, so that a `*` in a file's name is no pattern."""
    return [f":(literal){Path(path).as_posix()}" for path in paths]


def _call(
    folder: Path,
    arguments: Sequence[str],
    *,
    check: bool = True,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run git and return what it said.

    Raises:
        ToolFailed: git is missing, or refused (only where `check`).
    """
    # A git hook exports these; they would send our commands to the hook's repository and index.
    borrowed = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")
    surroundings = {key: value for key, value in os.environ.items() if key not in borrowed}
    surroundings |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": "true", **(env or {})}
    try:
        found = subprocess.run(
            ["git", *arguments], cwd=folder, input=stdin, capture_output=True, env=surroundings
        )
    except FileNotFoundError as error:
        if shutil.which("git"):
            raise ToolFailed(
                f"The folder {folder} does not exist.",
                why="git was to be run in it.",
                next_step="cd into a project",
            ) from error
        raise ToolFailed(
            "The git program is missing.",
            why="modelyard keeps projects in git repositories.",
            next_step="apt-get install git, or see https://git-scm.com/downloads",
        ) from error
    if check and found.returncode:
        verb = _verb(arguments)
        said = (found.stderr or found.stdout).decode("utf-8", "replace").strip()
        raise ToolFailed(
            f"git {verb} failed in {folder}.",
            why=said or f"git ended with code {found.returncode} and said nothing.",
            next_step=_advice(said),
        )
    return found


def _verb(arguments: Sequence[str]) -> str:
    """The git command among the arguments, options before it skipped."""
    rest = list(arguments)
    while len(rest) > 2 and rest[0] == "-c":
        rest = rest[2:]
    return rest[0]


def _advice(said: str) -> str:
    """The next command for what git complains of most often."""
    if "not a git repository" in said:
        return "git init -b main, or cd into the project"
    if "index.lock" in said:
        return "wait for the other git to end; if there is none: rm .git/index.lock"
    if "dubious ownership" in said:
        return "git config --global --add safe.directory FOLDER"
    if "would be overwritten" in said:
        return "commit or stash your changes, then run this again"
    if "CONFLICT" in said or "conflict" in said:
        return "git merge by hand and resolve the conflicts"
    return "git status"
