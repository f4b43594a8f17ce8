"""The project: modelyard.yaml and every path in it, resolved once, frozen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import yaml

from modelyard import strict_yaml
from modelyard.errors import NotAProject, UsageError, capped, closest, nearest
from modelyard.settings import Section, Settings

FILE = "modelyard.yaml"
OVERRIDES = "overrides.yaml"
SECTIONS = ("project", "data", "split", "tune", "gate", "track")


@dataclass(frozen=True)
class Project:
    """A user's git repository with a modelyard.yaml. Paths are absolute."""

    root: Path
    settings: Settings

    @property
    def name(self) -> str:
        """The project's name, which is also its experiment's and model's by default."""
        return self.settings.project.name

    @property
    def model_name(self) -> str:
        """The name in the model registry."""
        return self.settings.track.model or self.name

    @property
    def data(self) -> Path:
        """The raw table."""
        return self.root / self.settings.data.path

    @property
    def data_pointer(self) -> Path:
        """DVC's pointer file beside the raw table."""
        return self.data.with_name(self.data.name + ".dvc")

    @property
    def table(self) -> Path:
        """ingest's typed Parquet: the source's columns in order, target included, rows kept."""
        return self.root / "data/interim/table.parquet"

    @property
    def split_table(self) -> Path:
        """split's Parquet: `side` (train, valid, test), `key` (uint64 hash), a row a table row."""
        return self.root / "data/interim/split.parquet"

    @property
    def model(self) -> Path:
        """train's folder: the graph, the native models, the native scores."""
        return self.root / "model"

    @property
    def package(self) -> Path:
        """pack's folder: the model package."""
        return self.root / "package"

    @property
    def plots(self) -> Path:
        """evaluate's folder: the plots' points as CSV, and as SVG."""
        return self.root / "plots"

    @property
    def metrics(self) -> Path:
        """evaluate's flat metrics, for `dvc metrics`."""
        return self.root / "metrics.json"

    @property
    def records(self) -> Path:
        """The folder of the stages' records."""
        return self.root / "records"

    def record(self, name: str) -> Path:
        """The path of one record, such as `ingest` or `gate`."""
        return self.records / f"{name}.json"

    @property
    def audit(self) -> Path:
        """One JSON line for each move of the champion."""
        return self.records / "audit.jsonl"

    @property
    def deployments(self) -> Path:
        """One JSON line for each deploy and each rollback of an environment."""
        return self.records / "deployments.jsonl"

    @property
    def charts(self) -> Path:
        """The folder of the endpoint's Helm chart."""
        return self.root / "charts"

    @property
    def reports(self) -> Path:
        """The folder of generated reports."""
        return self.root / "reports"

    @property
    def state(self) -> Path:
        """This machine's own state: locks, studies in flight, caches. Not in git."""
        return self.root / ".modelyard"

    @property
    def environment_lock(self) -> Path:
        """The pinned environment of the project."""
        return self.root / "requirements.lock"

    @property
    def excluded(self) -> frozenset[str]:
        """Columns that never reach the model by the person's word."""
        data = self.settings.data
        named = (data.target, data.id, data.group)
        return frozenset({*data.exclude, *(name for name in named if name)})


def find_root(start: Path | None = None) -> Path:
    """Return the nearest folder at or above `start` that holds a modelyard.yaml.

    Raises:
        NotAProject: there is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return folder
    raise NotAProject(
        f"There is no {FILE} in {here} or above it.",
        why="modelyard commands work inside a project.",
        next_step="cd into a project, or: modelyard init NAME --data TABLE.csv --target COLUMN",
    )


def load(start: Path | None = None) -> Project:
    """Find, read and check the project. Overrides of the last run count (see `overrides_text`)."""
    root = find_root(start)
    overrides = root / OVERRIDES
    return resolve(root, _read_yaml(overrides) if overrides.is_file() else {}, OVERRIDES)


def resolve(root: Path, overrides: Mapping[str, Any], source: str) -> Project:
    """The project in `root` under these overrides; `source` is who set them, for the message.

    Raises:
        UsageError: modelyard.yaml is at fault, or (naming `source`) the overrides are.
    """
    tree = _read_yaml(root / FILE)
    asked = {section: values for section, values in overrides.items() if values}
    merged = tree | {section: _over(tree.get(section), asked[section]) for section in asked}
    try:
        return Project(root, settings_from(merged, FILE))
    except UsageError:
        settings_from(tree, FILE)  # where the file itself is at fault, its message is the right one
        return Project(root, settings_from(merged, source))


def _over(below: Any, above: Any) -> Any:
    """A value with another one laid over it: keys of mappings one by one, an empty one clears."""
    if not (isinstance(below, Mapping) and isinstance(above, Mapping) and above):
        return above
    return {**below, **{key: _over(below.get(key), value) for key, value in above.items()}}


def settings_from(tree: Mapping[str, Any], source: str) -> Settings:
    """Check a parsed modelyard.yaml and freeze it.

    Raises:
        UsageError: an unknown key (the nearest valid one is named), a missing one, a wrong type.
    """
    _refuse_unknown(tree, Settings, source, ())
    # A column's name may end with a line's end: what is said of the data stays as it is.
    plain = {name: part if name == "data" else _trimmed(part) for name, part in tree.items()}
    tune = plain.get("tune")
    if isinstance(tune, Mapping) and tune.get("trials") is not None:
        plain["tune"] = {"budget": None, **tune}  # the clock counts beside trials where it is named
    plain = _worded(plain, Settings)
    try:
        settings = msgspec.convert(plain, Settings, strict=True)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at ")
        key = place.strip("`").removeprefix("$.").removeprefix("$") or "the file"
        raise UsageError(
            f"{source}: {key}: {_plain(message)}.",
            why="The key's value is not of the type that it must be"
            + ("; put it in quotes." if "Expected `str" in message else "."),
            next_step=f"{_mend(source)}; `modelyard config` lists every key",
        ) from error
    _check_meaning(settings, source)
    return settings


def _check_meaning(settings: Settings, source: str) -> None:
    """Refuse what is well typed and still makes no sense."""
    split, tune, data = settings.split, settings.tune, settings.data
    problems = []
    if split.valid + split.test > 0.8:
        problems.append("split.valid + split.test leaves less than 20 % of the rows for training")
    if split.kind == "time" and not (data.time and split.valid_from and split.test_from):
        problems.append("split.kind: time needs data.time, split.valid_from and split.test_from")
    if split.kind == "group" and not data.group:
        problems.append("split.kind: group needs data.group")
    if tune.mode == "search" and tune.budget is None and tune.trials is None:
        problems.append("tune needs a budget, a number of trials, or mode: grid")
    if tune.threshold not in ("f1", "balanced") and not _is_share(tune.threshold):
        problems.append(
            f"tune.threshold {tune.threshold!r} is not f1, balanced or a number in 0..1"
        )
    if data.target in (data.id, data.time, data.group) or data.target in data.exclude:
        problems.append(f"data.target {data.target!r} is also the id, time, group or excluded")
    if Path(data.path).is_absolute() or ".." in Path(data.path).parts:
        problems.append(f"data.path {data.path!r} must lie inside the project")
    for name in dict.fromkeys(settings.ci.environments):
        if settings.ci.environments.count(name) > 1:
            problems.append(f"ci.environments names {name!r} twice")
    # Either list may stand alone: a pipeline before its cluster, deployments by hand.
    places = settings.deploy.environments
    for name in settings.ci.environments if places else ():
        if name not in places:
            meant = closest(name, places)
            known = f"nearest: {meant!r}" if meant else f"it has {capped(places)}"
            problems.append(
                f"ci.environments names {name!r}, which deploy.environments lacks ({known})"
            )
    if problems:
        raise UsageError(
            f"{source}: {problems[0]}.", why=capped(problems[1:]), next_step=_mend(source)
        )


def _is_share(text: str) -> bool:
    try:
        return 0 < float(text) < 1
    except ValueError:
        return False


def budget_seconds(text: str | None) -> float | None:
    """Read a budget such as `60s`, `10m`, `1h` or `45`; None stays None."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if found is None:
        raise UsageError(
            f"{text!r} is no time.",
            why="A time is a number and s, m or h; a number alone is seconds.",
            next_step="give it as 90s, 5m or 1h",
        )
    number, unit = found.groups()
    return float(number) * {"": 1, "s": 1, "m": 60, "h": 3600}[unit]


def parse_overrides(pairs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Read `-S section.key=value` pairs; values are YAML.

    Raises:
        UsageError: a pair without `=`, or an unknown section or key.
    """
    tree: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        path = key.strip().split(".")
        if not equals or len(path) < 2:
            raise UsageError(
                f"-S {pair!r} is not of the form section.key=value.",
                why="It names one key of one section of modelyard.yaml and its value.",
                next_step="modelyard run -S tune.budget=30s",
            )
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(
                f"-S {pair!r}: the value is not YAML.",
                why=str(error),
                next_step="quote the option for the shell: -S 'tune.families=[linear, boosting]'",
            ) from error
        path, hint = _place(path)
        if _scalar(value) and _takes(hint, str) and not _takes(hint, type(value)):
            value = text.strip()  # as it was typed: a class called yes, a column called 1
        node: dict[str, Any] = tree.setdefault(path[0], {})
        for part in path[1:-1]:
            inner = node.setdefault(part, {})
            if not isinstance(inner, dict):
                raise UsageError(
                    f"-S {pair!r} goes below a key that another -S has given a value.",
                    why=f"{path[-2]} cannot be both a value and a group of keys.",
                    next_step="modelyard config",
                )
            node = inner
        node[path[-1]] = value
    _refuse_unknown(tree, Settings, "-S", ())
    return clock_or_trials(tree)


def clock_or_trials(tree: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Overrides in which a budget replaces the file's number of trials, and the other way round."""
    asked = dict(tree.get("tune", {}))
    for key, other in (("trials", "budget"), ("budget", "trials")):
        if key in asked and other not in asked:
            asked[other] = None
            break
    found = {section: dict(values) for section, values in tree.items()}
    return found | ({"tune": asked} if asked else {})


def overrides_text(tree: Mapping[str, Mapping[str, Any]]) -> str:
    """The content of overrides.yaml: every section present, so that DVC can watch each."""
    body = {section: dict(tree.get(section, {})) for section in SECTIONS}
    return (
        "# What -S set for the last `modelyard run`; empty otherwise. Written by modelyard.\n"
        + yaml.safe_dump(body, sort_keys=False)
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of modelyard.yaml."""
    schema = msgspec.json.schema(Settings)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": FILE}
    whole: dict[str, Any] = json.loads(json.dumps(head | schema))
    return whole


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = strict_yaml.load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path.name} is not valid YAML.", why=str(error), next_step=f"edit {path}"
        ) from error
    except OSError as error:
        raise UsageError(
            f"{path.name} cannot be read.", why=str(error), next_step=f"ls -l {path}"
        ) from error
    if not isinstance(tree, dict):
        raise UsageError(
            f"{path.name} must hold sections, such as `project:` and `data:`.",
            why=f"It holds {type(tree).__name__ if tree is not None else 'nothing'} at its top.",
            next_step=f"edit {path}; `modelyard config` lists every key",
        )
    for section, values in tree.items():
        if values is None:
            tree[section] = {}
    return tree


def _trimmed(value: Any) -> Any:
    """Without the line's end that YAML's `|` leaves, and that a pattern's `$` would let pass."""
    if isinstance(value, str):
        return value.rstrip("\r\n")
    if isinstance(value, dict):
        return {key: _trimmed(entry) for key, entry in value.items()}
    return [_trimmed(entry) for entry in value] if isinstance(value, list) else value


def _place(path: list[str]) -> tuple[list[str], Any]:
    """The keys that a dotted path goes through, and the type of what lies there (None: unknown).

    In `data.types.Sepal.Length` the last key is a column's name, dots and all.
    """
    kind: Any = Settings
    keys: list[str] = []
    for place, part in enumerate(path):
        keys.append(part)
        if not _is_section(kind):
            named, rest = get_args(kind)[1] if get_origin(kind) is dict else None, path[place:]
            if not _is_section(named):
                return [*keys[:-1], ".".join(rest)] if named else [*keys[:-1], *rest], named
            kind = named
            continue
        kind = get_type_hints(kind).get(part)
    return keys, kind


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _scalar(value: Any) -> bool:
    return isinstance(value, bool | int | float | date)


def _takes(hint: Any, kind: type) -> bool:
    return hint is kind or kind in get_args(hint)


def _worded(value: Any, hint: Any) -> Any:
    """The value with numbers and dates as texts where a text is asked for: a class 1, a day.

    Truth values are left: whether `yes` or `true` was written cannot be told any more.
    """
    if isinstance(value, Mapping) and _is_section(hint):
        hints = get_type_hints(hint)
        return {key: _worded(entry, hints.get(key)) for key, entry in value.items()}
    if isinstance(value, Mapping) and get_origin(hint) is dict:
        named = get_args(hint)[1]
        return {_worded(key, str): _worded(entry, named) for key, entry in value.items()}
    if isinstance(value, list) and get_origin(hint) is tuple:
        return [_worded(entry, get_args(hint)[0]) for entry in value]
    if not _scalar(value) or isinstance(value, bool):
        return value
    if _takes(hint, str) and not _takes(hint, type(value)):
        return value.isoformat() if isinstance(value, date) else str(value)
    return value


def _refuse_unknown(tree: Any, kind: type[Section], source: str, at: tuple[str, ...]) -> None:
    """Walk the mapping beside the struct; name the nearest valid key for the first unknown one."""
    if not isinstance(tree, Mapping):
        return
    hints = get_type_hints(kind)
    for key, value in tree.items():
        if key not in hints:
            place = ".".join((*at, str(key)))
            others = capped(hints, 20)
            raise UsageError(
                f"{source}: unknown key {place!r}{nearest(str(key), hints) or '.'}",
                why=f"Valid keys here: {others}.",
                next_step=f"edit {source}" if source == FILE else "modelyard config",
            )
        inner = hints[key]
        if isinstance(inner, type) and issubclass(inner, Section):
            _refuse_unknown(value, inner, source, (*at, str(key)))
        elif key == "limits" and isinstance(value, Mapping):
            limit = get_args(inner)[1]
            for name, entry in value.items():
                _refuse_unknown(entry, limit, source, (*at, str(key), str(name)))


def _mend(source: str) -> str:
    return "correct the option -S" if source == "-S" else f"edit {source}"


def _plain(message: str) -> str:
    """Say msgspec's words in a person's."""
    return message.replace("`", "'").replace("Object missing required field", "missing key")
