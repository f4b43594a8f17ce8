"""The gate's limits: names that are no metric, and figures that cannot be told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from modelyard.errors import UsageError
from modelyard.models import metrics
from modelyard.settings import Limit
from modelyard.stages.gate import _limits


@pytest.mark.parametrize("limit", [Limit(max=0.2), Limit(min=0.2)])
def test_a_figure_that_is_none_keeps_no_limit(limit: Limit) -> None:
    """A relative error of a target of zero is not a number: it is not "at most 0.2"."""
    project: Any = SimpleNamespace(
        settings=SimpleNamespace(gate=SimpleNamespace(limits={"mape": limit}))
    )
    (check,) = _limits(project, np.array([0.0, 2.0]), np.array([[1.0], [2.0]]), None)
    assert not check.passed
    (whole,) = _limits(project, np.array([1.0, 2.0]), np.array([[1.3], [2.6]]), None)
    assert whole.passed == (limit.min is not None)


@pytest.mark.parametrize(
    ("name", "task", "said"),
    [
        ("roc_acu", "binary", "not a metric, did you mean 'roc_auc'"),
        ("rmse", "binary", "not one of a binary task"),
        ("roc_auc", "regression", "not one of a regression task"),
    ],
)
def test_a_limit_on_no_metric_is_refused(name: str, task: Any, said: str) -> None:
    with pytest.raises(UsageError, match=r"gate\.limits: ") as told:
        metrics.check_limits([name], task)
    assert said in str(told.value)
