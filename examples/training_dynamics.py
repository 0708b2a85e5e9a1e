"""How an infinitely wide network learns: errors and uncertainty in the course of training.

Run: python examples/training_dynamics.py [picture.png]
"""

import sys

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import ntkfast as nk

TIMES = np.concatenate([[0.0], np.logspace(0, 6, 25), [np.inf]])


def main() -> None:
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    scaler = StandardScaler().fit(X_train)
    X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

    # A readout of weight 0.3: initial functions are small beside the targets.
    net = nk.serial(
        *[nk.Dense(W_std=2**0.5, b_std=0.3), nk.Relu()] * 3, nk.Dense(W_std=0.3, b_std=0.1)
    )
    flow = nk.predict.GradientFlow(net, X_train, y_train)
    print(f"{len(y_train)} rows, largest stable learning rate {flow.max_learning_rate:.3g}")
    train = flow.predict(t=TIMES)
    mean, variance = flow.predict(X_test, TIMES, cov="diag")
    train_error = np.mean((train - y_train) ** 2, axis=1)
    test_error = np.mean((mean - y_test) ** 2, axis=1)

    print(f"{'t':>9}  training  test   deviation of networks")
    for i in (0, 1, 5, 9, 13, 17, 21, 25, 26):
        deviation = np.sqrt(variance[i].mean())
        print(f"{TIMES[i]:9.2g}  {train_error[i]:8.4f}  {test_error[i]:.3f}  {deviation:.3f}")
    best = int(test_error.argmin())
    print(f"least test error {test_error[best]:.3f} at t = {TIMES[best]:.2g}: early stopping helps")
    if len(sys.argv) > 1:
        picture(sys.argv[1], train_error, test_error, variance)


def picture(
    path: str, train_error: np.ndarray, test_error: np.ndarray, variance: np.ndarray
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    inner = slice(1, -1)  # a logarithmic axis has neither 0 nor infinity
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for values, label in (
        (train_error, "training error"),
        (test_error, "test error"),
        (variance.mean(axis=1), "variance of the networks"),
    ):
        axes.loglog(TIMES[inner], values[inner], label=label)
    axes.set(xlabel="time of gradient flow", ylabel="mean square, targets of variance 1")
    axes.set_ylim(bottom=1e-4)
    axes.legend()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
