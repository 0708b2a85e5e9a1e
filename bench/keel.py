"""Compare the estimators' defaults with an RBF-kernel SVM and a random forest on the KEEL tables.

    python bench/keel.py                       # the 28 tables of at most 2,500 rows, 4 splits
    python bench/keel.py --max-rows 1000       # the 25 quick ones: half an hour on an idle core
    python bench/keel.py --tables wine heart --splits 10

Every contender sees the same stratified splits (a quarter is held out) and the same columns,
standardised inside each training part. "Same search" means as many candidates: for the network
`net="auto"`, networks x ridges by leave-one-out; for the SVM, C x gamma by 5-fold cross-validation.
Nothing is tuned per table. An interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, wilcoxon
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, StratifiedKFold, StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import ntkfast as nk
from keel_data import Table, default_cache, fetch, tables
from ntkfast._estimators.base import DEFAULT_ALPHAS
from ntkfast._estimators.networks import auto_networks
from ntkfast.sklearn import NTKClassifier

Accuracies = dict[str, dict[str, list[float]]]  # table -> contender -> one value per split

BASELINE = "RBF-SVM"


def contenders(features: int, seed: int) -> dict[str, Any]:
    """Return the classifiers by name; all but the forest and the logistic model see one search.

    `features` sets the range of gamma: squared distances of standardised rows grow with it.
    """
    networks, ridges = len(auto_networks()), len(DEFAULT_ALPHAS)
    svm = {
        "C": 2.0 ** np.linspace(-4, 12, ridges),
        "gamma": 2.0 ** np.linspace(-7, 4, networks) / features,
    }
    inner = StratifiedKFold(5, shuffle=True, random_state=seed)
    linear = {"C": 10.0 ** np.arange(-3, 3)}
    return {
        "NTK default": NTKClassifier(),
        "NTK auto": NTKClassifier("auto"),
        "NTK, no bias": NTKClassifier(nk.mlp(3)),
        BASELINE: RbfSvmSearch(svm["C"], svm["gamma"], inner),
        "random forest": RandomForestClassifier(500, random_state=seed),
        "logistic": GridSearchCV(LogisticRegression(max_iter=2000), linear, cv=inner),
    }


class RbfSvmSearch(ClassifierMixin, BaseEstimator):
    """GridSearchCV(SVC(), ...) with each RBF kernel computed once; ties go to the smoothest."""

    def __init__(self, C: Any, gamma: Any, cv: Any) -> None:
        self.C = C
        self.gamma = gamma
        self.cv = cv

    def fit(self, X: Any, y: Any) -> RbfSvmSearch:
        folds = list(self.cv.split(X, y))
        best = -1.0
        for gamma in self.gamma:
            K = rbf_kernel(X, gamma=gamma)
            for C in self.C:
                svm = SVC(kernel="precomputed", C=C)
                right = [
                    np.mean(svm.fit(K[np.ix_(a, a)], y[a]).predict(K[np.ix_(b, a)]) == y[b])
                    for a, b in folds
                ]
                if np.mean(right) > best:
                    best = float(np.mean(right))
                    self.model_ = SVC(C=C, gamma=gamma)
        self.model_.fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        return np.asarray(self.model_.predict(X))


def evaluate(table: Table, splits: int, seed: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Return the accuracy on the held-out quarter and the seconds for fitting, per split."""
    accuracy: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    splitter = StratifiedShuffleSplit(splits, test_size=0.25, random_state=seed)
    for train, test in splitter.split(table.X, table.y):
        for name, model in contenders(table.X.shape[1], seed).items():
            start = time.perf_counter()
            pipeline = make_pipeline(StandardScaler(), model).fit(table.X[train], table.y[train])
            seconds.setdefault(name, []).append(time.perf_counter() - start)
            score = pipeline.score(table.X[test], table.y[test])
            accuracy.setdefault(name, []).append(float(score))
    return accuracy, seconds


# --- report


def means(accuracies: Accuracies) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """Return the tables, the contenders and their mean accuracies in percent."""
    names = sorted(accuracies)
    rivals = list(next(iter(accuracies.values())))
    values = [[100 * np.mean(accuracies[name][rival]) for rival in rivals] for name in names]
    return names, rivals, np.array(values)


def report(accuracies: Accuracies, seconds: Accuracies, settings: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    names, rivals, values = means(accuracies)
    ranks = rankdata(-values, axis=1)
    base = values[:, rivals.index(BASELINE)]
    lines = [
        f"# {len(names)} KEEL tables, {settings['splits']} splits each (test accuracy in %)",
        "",
        "| contender | mean | Friedman rank | against " + BASELINE + " (wins-ties-losses) | p | "
        "share of the best | seconds to fit |",
        "|---|---|---|---|---|---|---|",
    ]
    for k in np.argsort(ranks.mean(0)):
        column = values[:, k]
        difference = column - base
        record = "-".join(str(int(np.sum(np.sign(difference) == sign))) for sign in (1, 0, -1))
        p = f"{wilcoxon(difference).pvalue:.3f}" if difference.any() else ""
        share = 100 * np.mean(column / values.max(1))
        cost = np.mean([np.mean(seconds[name][rivals[k]]) for name in names])
        cells = [f"{column.mean():.2f}", f"{ranks[:, k].mean():.2f}", record, p]
        lines.append("| " + " | ".join([rivals[k], *cells, f"{share:.1f}", f"{cost:.2f}"]) + " |")
    if len(rivals) > 2 and len(names) > 1:
        test = friedmanchisquare(*values.T)
        lines += ["", f"Friedman test that all are alike: p = {test.pvalue:.1e}."]
    lines += ["", _difference(names, rivals, accuracies), "", _by_table(names, rivals, values)]
    lines += ["", f"p: Wilcoxon's signed ranks over tables. Settings: `{json.dumps(settings)}`", ""]
    return "\n".join(lines)


def _difference(names: list[str], rivals: list[str], accuracies: Accuracies) -> str:
    """Return the mean advantage over the baseline with the standard error over splits."""
    lines = []
    for rival in rivals:
        if rival == BASELINE:
            continue
        per_split = np.mean(
            [np.subtract(accuracies[n][rival], accuracies[n][BASELINE]) for n in names], axis=0
        )
        error = per_split.std(ddof=1) / len(per_split) ** 0.5 if len(per_split) > 1 else np.nan
        lines.append(f"- {rival}: {100 * per_split.mean():+.2f} +- {100 * error:.2f}")
    return f"Mean advantage over {BASELINE}, with its standard error over splits:\n\n" + "\n".join(
        lines
    )


def _by_table(names: list[str], rivals: list[str], values: NDArray[np.float64]) -> str:
    lines = ["| table | " + " | ".join(rivals) + " |", "|---" * (len(rivals) + 1) + "|"]
    for name, row in zip(names, values, strict=True):
        cells = [f"**{v:.1f}**" if v == row.max() else f"{v:.1f}" for v in row]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


# --- command line


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="*", help="only these (default: all that are small)")
    parser.add_argument("--max-rows", type=int, default=2500, help="larger tables are left out")
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=default_cache(), help="for the download")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "splits": arguments.splits,
        "seed": arguments.seed,
        "networks": len(auto_networks()),
        "ridges": len(DEFAULT_ALPHAS),
        "ntkfast": nk.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }


def load(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Return earlier results with the same settings, else empty ones."""
    if path.exists():
        earlier: dict[str, Any] = json.loads(path.read_text())
        if earlier["settings"] == settings:
            return earlier
    return {"settings": settings, "accuracy": {}, "seconds": {}}


def main() -> None:
    arguments = parse()
    settings = settings_of(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "keel.json"
    results = load(path, settings)
    wanted = [
        table
        for table in tables(fetch(arguments.cache), arguments.max_rows)
        if arguments.tables is None or table.name in arguments.tables
    ]
    for number, table in enumerate(sorted(wanted, key=lambda table: len(table.y)), 1):
        if table.name not in results["accuracy"]:
            start = time.perf_counter()
            accuracy, seconds = evaluate(table, arguments.splits, arguments.seed)
            results["accuracy"][table.name] = accuracy
            results["seconds"][table.name] = seconds
            path.write_text(json.dumps(results, indent=1) + "\n")
            shown = "  ".join(f"{k} {100 * np.mean(v):.1f}" for k, v in accuracy.items())
            took = time.perf_counter() - start
            print(f"{number}/{len(wanted)} {table.name} ({took:.0f} s)  {shown}", file=sys.stderr)
    names = {table.name for table in wanted}
    accuracy = {name: value for name, value in results["accuracy"].items() if name in names}
    text = report(accuracy, results["seconds"], settings)
    (arguments.out / "keel.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
