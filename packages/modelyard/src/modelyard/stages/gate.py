"""gate: judge the package as it will be served, against limits, the baseline and the champion."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.errors import GateRefused, capped
from modelyard.forms import Floats
from modelyard.models import bootstrap, metrics
from modelyard.models.matrix import clusters, raw_columns, sides, target
from modelyard.project import Project
from modelyard.records import (
    Check,
    Comparison,
    GateRecord,
    Schema,
    StudyRecord,
    read_json,
    write_json,
)
from modelyard.registry import champion, lineage
from modelyard.tables.schema import in_words
from modelyard_serve.errors import InputError
from modelyard_serve.scorer import Scorer


def gate(project: Project) -> GateRecord:
    """Score the package on the held-out rows and write `records/gate.json`.

    Raises:
        GateRefused: a check failed; the record is written all the same.
    """
    record = judge(project)
    write_json(project.record("gate"), record)
    if not record.passed:
        failed = [check for check in record.checks if not check.passed]
        raise GateRefused(
            "The gate refused the candidate: " + "; ".join(check.message for check in failed),
            why="All checks and figures are in records/gate.json.",
            next_step="modelyard run -S tune.budget=5m, or edit gate: in modelyard.yaml",
        )
    return record


def judge(project: Project) -> GateRecord:
    """The verdict on `package/`, without writing it."""
    settings = project.settings.gate
    schema = read_json(project.record("schema"), Schema)
    study = read_json(project.record("study"), StudyRecord)
    frame = pl.read_parquet(project.table)
    rows = sides(pl.read_parquet(project.split_table)).test
    test = frame[rows]
    shared = clusters(project.settings.data, project.split_table, rows)
    y = target(schema, test)
    candidate = Scorer(project.package)
    outputs = candidate.score(raw_columns(candidate.manifest.features, test)).outputs
    metric = study.metric

    metrics.check_limits(settings.limits, schema.task)
    checks = _limits(project, y, outputs, candidate.manifest.threshold)
    if settings.baseline:
        checks.append(_baseline(project, metric, y, outputs, study, shared))
    now = champion.current(project)
    comparison = None
    past = champion.released(project, candidate.digest)
    if now and past and now.package_digest != candidate.digest:
        checks.append(
            Check(
                name="champion",
                passed=True,
                figure=None,
                limit=None,
                message=f"the candidate is the released version v{past} already; "
                f"champion v{now.version} stays",
            )
        )
    elif (
        now
        and settings.champion != "ignore"
        and now.model_digest != candidate.manifest.model_digest
    ):
        found, comparison = _against_champion(
            project, schema, metric, test, y, outputs, candidate.manifest.threshold, shared
        )
        checks.append(found)
    return GateRecord(
        passed=all(check.passed for check in checks),
        candidate_digest=candidate.digest,
        model_digest=candidate.manifest.model_digest,
        champion_digest=now.package_digest if now else None,
        metric=metric,
        checks=tuple(checks),
        comparison=comparison,
        champion_rule=settings.champion,
    )


def _limits(
    project: Project, y: NDArray[Any], outputs: Floats, threshold: float | None
) -> list[Check]:
    checks = []
    for name, limit in project.settings.gate.limits.items():
        value = metrics.score(name, y, outputs, threshold)
        # "not >=": a figure that is none, such as a share of nothing, keeps no limit.
        for bound, broken, word in (
            (limit.min, limit.min is not None and not value >= limit.min, "below"),
            (limit.max, limit.max is not None and not value <= limit.max, "above"),
        ):
            if bound is not None:
                kind = "least" if bound is limit.min else "most"
                verdict = f"{word} the limit {bound:g}" if broken else f"at {kind} {bound:g}"
                checks.append(
                    Check(
                        name=f"limit:{name}",
                        passed=not broken,
                        figure=value,
                        limit=bound,
                        message=f"{name} {value:.4f} is {verdict}",
                    )
                )
    return checks


def _baseline(
    project: Project,
    metric: str,
    y: NDArray[Any],
    outputs: Floats,
    study: StudyRecord,
    shared: NDArray[Any] | None,
) -> Check:
    """The candidate must beat the baseline by more than chance."""
    settings = project.settings.gate
    constant = json.loads((project.model / "baseline.json").read_text())["scores"]
    flat = np.tile(np.array(constant, dtype=np.float64), (len(y), 1))
    found = bootstrap.paired(
        metric,
        y,
        outputs,
        flat,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=study.seed,
        threshold_a=study.threshold,
        clusters=shared,
    )
    passed = found[1] > 0
    return Check(
        name="baseline",
        passed=passed,
        figure=found[0],
        limit=0.0,
        message=f"{metric} {'beats' if passed else 'does not beat'} the baseline "
        f"(improvement {found[0]:+.4f}, {settings.confidence:.0%} interval "
        f"{found[1]:+.4f} to {found[2]:+.4f})",
    )


def _against_champion(
    project: Project,
    schema: Schema,
    metric: str,
    test: pl.DataFrame,
    y: NDArray[Any],
    outputs: Floats,
    threshold: float | None,
    shared: NDArray[Any] | None,
) -> tuple[Check, Comparison | None]:
    """Compare on the same held-out rows, which the champion never trained on either."""
    settings = project.settings.gate
    now = champion.current(project)
    assert now is not None
    old = Scorer(champion.package_of(project, now.version, now.package_digest))
    lost = [f.name for f in old.manifest.features if f.name not in test.columns]
    foreign = lost or old.manifest.target != schema.target or old.manifest.classes != schema.classes
    before = None
    if not foreign:
        try:
            # A column of texts then may be one of two words, and so of booleans, now.
            texts = [f.name for f in old.manifest.features if f.kind == "category"]
            spelled = in_words(test, schema, texts)
            before = old.score(raw_columns(old.manifest.features, spelled)).outputs
        except (InputError, pl.exceptions.PolarsError) as error:
            lost = [str(error)]
    if before is None:
        why = f"it needs {capped(lost)}" if lost else "its target or classes differ"
        return Check(
            name="champion",
            passed=True,
            figure=None,
            limit=None,
            message=f"champion v{now.version} cannot score these rows ({why}): not compared",
        ), None
    improvement, low, high = bootstrap.paired(
        metric,
        y,
        outputs,
        before,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=project.settings.tune.seed,
        threshold_a=threshold,
        threshold_b=old.manifest.threshold,
        clusters=shared,
    )
    comparison = Comparison(
        metric=metric,
        rows=len(y),
        candidate=metrics.score(metric, y, outputs, threshold),
        champion=metrics.score(metric, y, before, old.manifest.threshold),
        improvement=improvement,
        low=low,
        high=high,
        confidence=settings.confidence,
        resamples=settings.resamples,
        champion_version=now.version,
        champion_digest=now.package_digest,
    )
    interval = f"{settings.confidence:.0%} interval {low:+.4f} to {high:+.4f}"
    caveat = (
        "; rows were dealt anew since, so it may have been trained on some of these"
        if lineage.dealt_anew(project, old.manifest.lineage)
        else ""
    )
    if settings.champion == "better":
        passed = low > settings.margin
        verdict = "is better than" if passed else "is not shown to be better than"
    else:
        passed = high >= -settings.margin
        verdict = "is not shown to be worse than" if passed else "is worse than"
    return Check(
        name="champion",
        passed=passed,
        figure=improvement,
        limit=settings.margin if settings.champion == "better" else 0.0 - settings.margin,
        message=f"{metric} {verdict} champion v{now.version} "
        f"(improvement {improvement:+.4f}, {interval}, {len(y)} rows{caveat})",
    ), comparison
