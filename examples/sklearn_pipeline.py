"""Estimators in scikit-learn's pipelines, searches and cross-validation.

Run: python examples/sklearn_pipeline.py
"""

from sklearn.datasets import load_diabetes, load_wine
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import ntkfast as nk
from ntkfast.sklearn import NNGPRegressor, NTKClassifier


def main() -> None:
    X, y = load_wine(return_X_y=True)
    model = make_pipeline(StandardScaler(), NTKClassifier())  # ridge by leave-one-out
    print(f"NTKClassifier, 5-fold accuracy: {cross_val_score(model, X, y).mean():.3f}")

    networks = [nk.mlp(depth, b_std=1.0) for depth in (1, 2, 4)]
    search = GridSearchCV(model, {"ntkclassifier__net": networks}, cv=3).fit(X, y)
    print(f"best of {len(networks)} networks: {search.best_params_['ntkclassifier__net']}")

    svm = make_pipeline(StandardScaler(), SVC(kernel=nk.mlp(2, b_std=1.0).ntk))
    print(f"SVC with the NTK, 5-fold accuracy: {cross_val_score(svm, X, y).mean():.3f}")

    X, y = load_diabetes(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    process = make_pipeline(StandardScaler(), NNGPRegressor()).fit(X_train, y_train)
    mean, std = process.predict(X_test, return_std=True)
    print(f"NNGPRegressor, R2 on diabetes: {process.score(X_test, y_test):.3f}")
    for predicted, deviation, truth in zip(mean[:3], std[:3], y_test[:3], strict=True):
        print(f"  predicted {predicted:6.1f} +- {deviation:5.1f}, true {truth:6.1f}")


if __name__ == "__main__":
    main()
