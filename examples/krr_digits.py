"""Kernel ridge regression by hand: three lines from a network to predictions.

Run: python examples/krr_digits.py
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import ntkfast as nk


def main() -> None:
    digits, labels = load_digits(return_X_y=True)
    X = (digits - digits.mean()) / digits.std()  # pixels share a unit: scale them as a whole
    X_train, X_test, y_train, y_test = train_test_split(X, labels, random_state=0)
    codes = np.eye(10)[y_train] - 0.1  # one column per class, mean zero

    net = nk.mlp(3, "relu", b_std=1.0)
    K = net.kernels(X_train)  # both kernels in one pass
    cross = net.kernels(X_test, X_train)
    for name, train, test in (("NNGP", K.nngp, cross.nngp), ("NTK", K.ntk, cross.ntk)):
        scores = test @ nk.solve(train, codes, ridge=1e-5)
        accuracy = np.mean(scores.argmax(axis=1) == y_test)
        print(f"{name:5} accuracy on {len(y_test)} test digits: {accuracy:.3f}")


if __name__ == "__main__":
    main()
