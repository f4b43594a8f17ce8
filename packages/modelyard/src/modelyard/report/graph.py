"""Lineage as a graph: data version -> commit -> run -> package -> release -> image; and git's history."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from modelyard.report.chart import GREY, GRID, INK, SERIES
from modelyard.report.gather import Gathered
from modelyard.report.words import number, short
from modelyard.tools.git import Commit

COLUMNS = ("data", "commit", "run", "package", "release", "image")
WIDTH, ROW, BOX, HIGH = 1060, 62, 150, 44
MOST_RUNS = 12
_HUE = dict(
    zip(COLUMNS, (SERIES[2], GREY, SERIES[0], SERIES[3], SERIES[1], SERIES[4]), strict=True)
)

Node = tuple[str, str, str, str]
"""Key, first line, second line, the words under the pointer."""


def lineage(state: Gathered) -> str:
    """The newest runs with everything that hangs on them; "" where there is no run."""
    runs = list(state.runs.runs)[-MOST_RUNS:]
    if not runs:
        return ""
    chains: list[list[tuple[str, Node]]] = []
    image = state.image or {}
    for run in reversed(runs):
        chain: list[tuple[str, Node]] = []
        data = run.data_version or "unversioned"
        rows = next((tag.rows for tag in state.data_tags if tag.version == run.data_version), None)
        said = f"{rows:,} rows".replace(",", "\u202f") if rows else ""
        chain.append(("data", (f"data-{data}", f"data {data}", said, f"data version {data}")))
        if run.commit:
            subject = next((c.subject for c in state.commits if c.id == run.commit), "")
            chain.append(
                (
                    "commit",
                    (run.commit, short(run.commit, 8), subject, f"commit {run.commit}: {subject}"),
                )
            )
        value = f"{run.metric} {number(run.value)}"
        tip = f"run {run.run_id}, {run.started}, {value}, gate {run.gate}"
        chain.append(("run", (run.run_id, run.name, value, tip)))
        if run.package_digest:
            chain.append(
                (
                    "package",
                    (
                        run.package_digest,
                        short(run.package_digest, 8),
                        f"model {short(run.model_digest, 8)}",
                        f"package {run.package_digest}",
                    ),
                )
            )
        now = state.champion
        if run.version:
            star = now is not None and now.version == run.version
            text = "★ champion" if star else "released"
            chain.append(
                (
                    "release",
                    (
                        f"v{run.version}",
                        f"model v{run.version}",
                        text,
                        f"model/v{run.version}, {text}",
                    ),
                )
            )
        elif run.gate == "refused":
            chain.append(
                ("release", (f"no-{run.run_id}", "refused", "by the gate", "the gate refused it"))
            )
        digest = str(
            image.get("digest") or image.get("image_digest") or image.get("image_id") or ""
        )
        if digest and image.get("package_digest") == run.package_digest:
            name = str(image.get("reference") or image.get("tag") or image.get("image") or "image")
            chain.append(
                (
                    "image",
                    (
                        digest,
                        name[-20:],
                        short(digest.removeprefix("sha256:"), 8),
                        f"image {digest}",
                    ),
                )
            )
        chains.append(chain)
    return _draw(chains)


def _draw(chains: Sequence[Sequence[tuple[str, Node]]]) -> str:
    used = [name for name in COLUMNS if any(kind == name for chain in chains for kind, _ in chain)]
    step = (WIDTH - 40 - BOX) / max(1, len(used) - 1)
    places: dict[str, tuple[float, float]] = {}
    nodes: dict[str, tuple[str, Node]] = {}
    rows: dict[str, list[int]] = {}
    for row, chain in enumerate(chains):
        for kind, node in chain:
            rows.setdefault(node[0], []).append(row)
            nodes.setdefault(node[0], (kind, node))
    for key, (kind, _) in nodes.items():
        middle = sum(rows[key]) / len(rows[key])
        places[key] = (20 + used.index(kind) * step, 40 + middle * ROW)
    _apart(places, nodes)
    edges = {(a[1][0], b[1][0]) for chain in chains for a, b in pairwise(chain)}
    out = []
    for start, end in sorted(edges):
        x0, y0 = places[start][0] + BOX, places[start][1] + HIGH / 2
        x1, y1 = places[end][0], places[end][1] + HIGH / 2
        bend = max(24.0, (x1 - x0) / 2)
        out.append(
            f'<path d="M{x0:.1f} {y0:.1f}C{x0 + bend:.1f} {y0:.1f} {x1 - bend:.1f} {y1:.1f} {x1:.1f} {y1:.1f}" '
            f'fill="none" stroke="{GRID}" stroke-width="2" data-edge="{escape(start)} {escape(end)}"/>'
        )
    for key, (kind, (_, first, second, tip)) in nodes.items():
        x, y = places[key]
        hue = _HUE[kind]
        strong = ' font-weight="650"' if "★" in second else ""
        out.append(
            f'<g class="node" data-node="{escape(key)}" data-tip="{escape(tip)}"><rect x="{x:.1f}" y="{y:.1f}" '
            f'width="{BOX}" height="{HIGH}" rx="7" fill="var(--card, #ffffff)" stroke="{hue}" stroke-width="1.6"/>'
            f'<rect x="{x:.1f}" y="{y + 8:.1f}" width="4" height="{HIGH - 16}" rx="2" fill="{hue}"/>'
            f'<text x="{x + 13:.1f}" y="{y + 18:.1f}" class="first"{strong}>{escape(_cut(first, 19))}</text>'
            f'<text x="{x + 13:.1f}" y="{y + 34:.1f}" font-size="11"{strong}>{escape(_cut(second, 21))}</text></g>'
        )
    heads = "".join(
        f'<text x="{20 + place * step:.1f}" y="20" class="head">{name}</text>'
        for place, name in enumerate(used)
    )
    high = max(y for _, y in places.values()) + HIGH + 14
    return (
        f'<svg role="img" aria-label="Lineage of the last {len(chains)} runs, from data to release" class="graph" '
        f'viewBox="0 0 {WIDTH} {high:.0f}" font-size="12" fill="{INK}">{heads}{"".join(out)}</svg>'
    )


def _apart(places: dict[str, tuple[float, float]], nodes: dict[str, tuple[str, Node]]) -> None:
    """Push nodes of one column apart where they would overlap."""
    for kind in COLUMNS:
        keys = sorted(
            (k for k, (one, _) in nodes.items() if one == kind), key=lambda k: places[k][1]
        )
        floor = 0.0
        for key in keys:
            x, y = places[key]
            y = max(y, floor)
            places[key] = (x, y)
            floor = y + HIGH + 10


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def history(commits: Sequence[Commit]) -> str:
    """git's history with its branches as lanes, newest on top; "" where there is none."""
    if not commits:
        return ""
    lanes: list[str | None] = []
    at: dict[str, tuple[int, int]] = {}
    for row, commit in enumerate(commits):
        mine = [n for n, wanted in enumerate(lanes) if wanted == commit.id]
        lane = mine[0] if mine else _free(lanes)
        for other in mine[1:]:
            lanes[other] = None
        at[commit.id] = (lane, row)
        parents = list(commit.parents)
        lanes[lane] = parents[0] if parents and parents[0] not in lanes[:lane] else None
        for parent in parents[1:]:
            if parent not in lanes:
                lanes[_free(lanes)] = parent
    wide, high, gap = 26, 26, 22
    most = max(lane for lane, _ in at.values()) + 1
    left = 20 + most * gap
    out = []
    for commit in commits:
        lane, row = at[commit.id]
        for number_, parent in enumerate(commit.parents):
            if parent in at:
                to, down = at[parent]
                x0, y0, x1, y1 = (
                    16 + lane * gap,
                    wide + row * high,
                    16 + to * gap,
                    wide + down * high,
                )
                # A merged branch leaves at once; a branch stays in its lane until where it began.
                side = max(lane, to)
                hue = SERIES[side % 6] if side else INK
                if to > lane:
                    path = f"M{x0} {y0}C{x0} {y0 + high * 0.6:.0f} {x1} {y0 + high * 0.4:.0f} {x1} {y0 + high}V{y1}"
                else:
                    path = f"M{x0} {y0}V{y1 - high}C{x0} {y1 - high * 0.4:.0f} {x1} {y1 - high * 0.6:.0f} {x1} {y1}"
                dash = ' stroke-dasharray="3 3"' if number_ else ""
                out.append(f'<path d="{path}" fill="none" stroke="{hue}" stroke-width="2"{dash}/>')
    for commit in commits:
        lane, row = at[commit.id]
        x, y = 16 + lane * gap, wide + row * high
        hue = SERIES[lane % 6] if lane else INK
        refs = "".join(
            f'<tspan fill="{SERIES[2] if "tag: " in ref else SERIES[0]}" font-weight="600">[{escape(ref.removeprefix("tag: "))}] </tspan>'
            for ref in commit.refs
        )
        tip = f"{commit.id[:12]} · {commit.when[:16].replace('T', ' ')} · {commit.subject}"
        out.append(
            f'<g data-tip="{escape(tip)}"><circle cx="{x}" cy="{y}" r="5" fill="{hue}"/>'
            f'<text x="{left}" y="{y + 4}"><tspan class="mono" fill="{GREY}">{commit.id[:7]} </tspan>{refs}'
            f"{escape(_cut(commit.subject, 92))}</text></g>"
        )
    tall = wide + len(commits) * high
    return (
        f'<svg role="img" aria-label="The last {len(commits)} commits with their branches and tags" class="graph" '
        f'viewBox="0 0 {WIDTH} {tall}" font-size="12.5" fill="{INK}">{"".join(out)}</svg>'
    )


def _free(lanes: list[str | None]) -> int:
    for place, wanted in enumerate(lanes):
        if wanted is None:
            return place
    lanes.append(None)
    return len(lanes) - 1
