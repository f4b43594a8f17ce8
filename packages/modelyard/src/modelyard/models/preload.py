"""Imports every estimator, for the fork server that worker processes come from."""

from __future__ import annotations

from modelyard.models import lean

lean.own_process()
# scikit-learn first: see https://github.com/lightgbm-org/LightGBM/issues/6509
for _name in ("sklearn.linear_model", "sklearn.ensemble", "lightgbm"):
    lean.load(_name)
