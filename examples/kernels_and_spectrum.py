"""How depth and bias change a kernel: its matrix and its eigenvalues, as a picture.

Run: python examples/kernels_and_spectrum.py [PICTURE.png]   (needs matplotlib)
"""

import sys

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

import ntkfast as nk


def main(picture: str = "kernels_and_spectrum.png") -> None:
    features, cultivar = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(features)

    figure = Figure(figsize=(15, 4.5), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    shallow, deep = nk.mlp(1, "relu", b_std=0.5), nk.mlp(20, "relu", b_std=0.5)
    nk.plot.plot_kernel(shallow.ntk(X), left, labels=cultivar, title="NTK, 1 hidden layer")
    nk.plot.plot_kernel(deep.ntk(X), middle, labels=cultivar, title="NTK, 20 hidden layers")

    spectra = {}
    for depth in (1, 3, 20):
        kernels = nk.mlp(depth, "relu", b_std=0.5).kernels(X)
        spectra[f"NTK, depth {depth}"] = np.linalg.eigvalsh(kernels.ntk)
        spectra[f"NNGP, depth {depth}"] = np.linalg.eigvalsh(kernels.nngp)
    nk.plot.plot_spectrum(spectra, right, title="spectra")
    for name, values in spectra.items():
        print(f"{name:14} condition number {values[-1] / values[0]:.1e}")
    figure.savefig(picture)
    print(f"written: {picture}")


if __name__ == "__main__":
    main(*sys.argv[1:])
