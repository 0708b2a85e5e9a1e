"""Estimators with the kernels of infinitely wide networks, in scikit-learn's conventions."""

from ._estimators.classifier import NTKClassifier
from ._estimators.regressors import NNGPRegressor, NTKRegressor

__all__ = ["NNGPRegressor", "NTKClassifier", "NTKRegressor"]

for _estimator in (NTKClassifier, NTKRegressor, NNGPRegressor):
    _estimator.__module__ = __name__  # where users find them, in tracebacks and pickles too
