"""The scikit-learn estimators behind `ntkfast.sklearn`.

``ridge`` fits one kernel matrix (numbers in, numbers out); ``networks`` says which networks are
tried; ``base`` joins the two under scikit-learn's conventions; ``regressors`` and ``classifier``
add what differs: targets, selection criterion, uncertainty.
"""
