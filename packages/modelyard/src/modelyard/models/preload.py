"""Imports every estimator, for the fork server that worker processes come from."""

import lightgbm as lightgbm
import sklearn.ensemble as ensemble
import sklearn.linear_model as linear_model

__all__ = ["ensemble", "lightgbm", "linear_model"]
