"""Why the choices were made, in sentences whose every number is a record's.

They are defaults: honest, dry, and replaced by the author's own words where there are any.
"""

from __future__ import annotations

from modelyard.records import EvaluateRecord, Slice, StudyRecord, Trial
from modelyard.report import words
from modelyard.report.gather import Gathered
from modelyard.report.words import count, level, metric_title, number, signed


def best_of_families(study: StudyRecord) -> list[Trial]:
    """The best complete trial of each family, best first."""
    sign = -1 if study.direction == "maximize" else 1
    ranked = sorted(
        (t for t in study.trials if t.state == "complete" and t.score is not None),
        key=lambda t: sign * (t.score or 0.0),
    )
    best: dict[str, Trial] = {}
    for trial in ranked:
        best.setdefault(trial.family, trial)
    return list(best.values())


def question(state: Gathered) -> str:
    """What is asked of the data."""
    settings, schema = state.project.settings, state.schema
    asked = settings.project.description.strip()
    if schema is None:
        return asked or f"Predict {settings.data.target}."
    aim = f"Predict {schema.target}"
    if schema.positive:
        aim += f": the probability of {schema.positive}"
    return f"{asked} {aim}, from {len(schema.features)} columns.".strip()


def family(state: Gathered) -> str:
    """Why this family, and by how much."""
    study = state.study
    if study is None or not study.chosen:
        return "No search has been made yet."
    tops = best_of_families(study)
    names = list(dict.fromkeys(member.family for member in study.chosen))
    title = metric_title(study.metric)
    first = tops[0]
    if len(study.chosen) > 1:
        lead = (
            f"A blend of {len(study.chosen)} trials ({', '.join(names)}) scored "
            f"{number(study.score)} {title} out of "
            f"fold, the best single trial {number(first.score)}."
        )
    else:
        lead = f"{names[0].capitalize()} scored {number(first.score)} {title} out of fold"
        rival = next((t for t in tops[1:] if t.family != "baseline"), None)
        if rival is None or rival.score is None or first.score is None:
            lead += "; " + _unfinished(study, tops)
        else:
            gap = words.better(study.direction, first.score, rival.score)
            low, high = min(first.folds, default=0.0), max(first.folds, default=0.0)
            lead += f", {number(gap)} better than {rival.family} ({number(rival.score)})."
            if first.folds and gap < (high - low):
                lead += (
                    f" Its folds spread from {number(low)} to {number(high)}, wider than that "
                    f"lead: the order "
                    "of the families may be chance."
                )
    return lead


def _unfinished(study: StudyRecord, tops: list[Trial]) -> str:
    """Why there is no second family to compare with."""
    done = {"baseline", *(trial.family for trial in tops)}
    tried = [trial for trial in study.trials if trial.family not in done]
    names = sorted({trial.family for trial in tried})
    if not names:
        return "no other family was tried."
    states = {trial.state for trial in tried}
    listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"{listed} did not finish" + (" within the budget." if states == {"stopped"} else ".")


def tuning(state: Gathered) -> str:
    """What the search cost, and what it gained over the default."""
    study = state.study
    if study is None:
        return ""
    complete = [t for t in study.trials if t.state == "complete" and t.score is not None]
    dropped = sum(t.state == "pruned" for t in study.trials)
    text = (
        f"{count(len(study.trials))} trials in {words.seconds(study.seconds)}, "
        f"{study.folds} folds ({study.fold_kind})"
    )
    text += f", {count(dropped)} dropped early." if dropped else "."
    tops = best_of_families(study)
    if tops:
        best = tops[0]
        base = next(
            (t for t in complete if t.family == best.family and t.origin == "default"), None
        )
        if base is not None and base.score is not None and best.score is not None:
            if base.number == best.number:
                text += (
                    f" The default of {best.family} was not beaten: the search gained "
                    f"nothing over it."
                )
            else:
                gap = words.better(study.direction, best.score, base.score)
                text += (
                    f" It gained {number(gap)} over {best.family}'s default ({number(base.score)})."
                )
    return text


def data(state: Gathered) -> str:
    """What the data is, and how it was parted."""
    ingest, split = state.ingest, state.split
    if ingest is None:
        return "No data has been read yet."
    version = state.data_version
    text = f"{count(ingest.rows)} rows" + (f", data version {version}." if version else ".")
    if split is not None:
        sides = ", ".join(f"{count(rows)} {side}" for side, rows in split.rows.items())
        text += f" Split {split.kind}: {sides}."
        text += {
            "time": " By time, since the model will be asked about later rows than it was shown.",
            "group": " By group, so that no group stands on two sides.",
            "stratified": " Each side holds nearly the same share of each class."
            if split.class_counts
            else "",
        }.get(split.kind, "")
    if ingest.findings:
        text += " To know: " + "; ".join(f.message for f in ingest.findings[:3]) + "."
    return text


def result(state: Gathered) -> str:
    """The figure on the held-out rows, beside the baseline and the champion before."""
    evaluation = state.evaluation
    if evaluation is None:
        return "Nothing has been evaluated yet."
    main = evaluation.metrics[evaluation.metric]
    text = (
        f"{metric_title(evaluation.metric)} {number(main.value)} on {count(evaluation.rows)} "
        f"held-out rows "
        f"({level(evaluation.confidence)} interval {number(main.low)} to "
        f"{number(main.high)}); the baseline scores "
        f"{number(evaluation.baseline.get(evaluation.metric))}."
    )
    pair = state.gate.comparison if state.gate else None
    if pair is not None:
        if pair.low > 0:
            verdict = ", better beyond chance."
        elif pair.high < 0:
            verdict = ", worse beyond chance."
        else:
            verdict = "; chance alone could explain it."
        text += (
            f" Against champion v{pair.champion_version} on the same {count(pair.rows)} rows: "
            f"{signed(pair.improvement)} (interval {signed(pair.low)} to {signed(pair.high)})"
            + verdict
        )
    return text


def threshold(state: Gathered) -> str:
    """Where the decision is cut, and what follows."""
    evaluation, settings = state.evaluation, state.project.settings
    if evaluation is None or evaluation.threshold is None:
        return ""
    rule = {
        "f1": "the threshold with the best F1 out of fold",
        "balanced": "the threshold with the best balanced accuracy out of fold",
    }.get(settings.tune.threshold, "the threshold that modelyard.yaml sets")
    text = f"The positive class is said from {number(evaluation.threshold)} upwards: {rule}."
    found = evaluation.metrics
    if "precision" in found and "recall" in found:
        text += (
            f" Of the rows flagged, {words.share(found['precision'].value)} are right; "
            f"{words.share(found['recall'].value)} of those there are, are flagged."
        )
    return text


def limits(state: Gathered) -> list[str]:
    """What the records themselves say against the model."""
    found = []
    evaluation, ingest = state.evaluation, state.ingest
    if evaluation is not None:
        for part in worst(evaluation, 3, each_column_once=True):
            found.append(
                f"Weakest where {part.column} is {part.level}: "
                f"{metric_title(evaluation.metric)} {number(part.value)} "
                f"on {count(part.rows)} rows"
                + (" (small slices swing by chance)." if part.rows < 100 else ".")
            )
        if evaluation.calibration_error is not None:
            found.append(
                f"A probability is off by {number(evaluation.calibration_error)} on average "
                f"(calibration error)."
            )
    if ingest is not None:
        found += [f"Data: {finding.message}." for finding in ingest.findings[:5]]
    if state.drift is not None and state.drift.get("verdict") not in (None, "none"):
        moved = ", ".join(c["column"] for c in state.drift.get("columns", [])[:3] if "column" in c)
        found.append(
            f"{state.drift.get('source')} has drifted ({state.drift.get('verdict')}"
            + (f": {moved}" if moved else "")
            + ") against the training data of the package that was compared."
        )
    return found


def worst(evaluation: EvaluateRecord, most: int, *, each_column_once: bool = False) -> list[Slice]:
    """The slices that score worst, of those that score worse than all rows together."""
    sign = 1 if evaluation.direction == "maximize" else -1
    whole = evaluation.metrics[evaluation.metric].value
    found = sorted(
        (part for part in evaluation.slices if sign * (part.value - whole) < 0),
        key=lambda part: sign * part.value,
    )
    if each_column_once:
        firsts: dict[str, Slice] = {}
        for part in found:
            firsts.setdefault(part.column, part)
        found = list(firsts.values())
    return found[:most]
