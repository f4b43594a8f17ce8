"""Lean imports: nothing that no family uses in our own processes, everything in a person's."""

from __future__ import annotations

import subprocess
import sys

FIT = """
import sys
import numpy as np
from modelyard.forms import Shape
from modelyard import models
from modelyard.models import lean

if {own}:
    lean.own_process()
X = np.random.default_rng(0).normal(size=(200, 2))
y = (X[:, 0] > 0).astype(np.int64)
shape = Shape(rows=200, width=2, task="binary", classes=2, categorical=(), levels=(), skewed=False)
for name in {families}:
    family = models.get(name)
    first = family.defaults(shape)[0]
    family.fit(X, y, first, shape, seed=0, threads=1, metric="roc_auc").predict(X)
print(*[name for name in ("pandas", "sklearn") if name in sys.modules])
{then}
"""


def run(own: bool, families: tuple[str, ...], then: str = "") -> str:
    """What is loaded after fitting these families in a fresh process, and what `then` prints."""
    code = FIT.format(own=own, families=families, then=then)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_stage_of_boosting_loads_neither_pandas_nor_scikit_learn() -> None:
    assert run(True, ("boosting",)) == ""


def test_a_stage_of_all_families_loads_no_pandas_and_can_still_import_it() -> None:
    then = "import pandas; print(pandas.DataFrame({'a': [1]}).shape)"
    assert run(True, ("boosting", "linear", "forest"), then) == "sklearn\n(1, 1)"


def test_a_persons_process_keeps_lightgbm_whole() -> None:
    then = (
        "import lightgbm, pandas; frame = pandas.DataFrame(X); "
        "print(lightgbm.LGBMClassifier(n_estimators=2, verbosity=-1).fit(frame, y).n_features_in_)"
    )
    assert run(False, ("boosting",), then) == "pandas sklearn\n2"
