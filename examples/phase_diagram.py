"""Order and chaos: where a deep network keeps its inputs apart, and what its NTK becomes.

Run: python examples/phase_diagram.py [PICTURE.png]   (needs matplotlib)
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import ntkfast as nk


def main(picture: str = "phase_diagram.png") -> None:
    phi = nk.Erf(b=np.pi**0.5 / 2)  # slope one at zero, as tanh
    figure = Figure(figsize=(16, 4.5), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    nk.phase.plot_phase_diagram(phi, left, title="erf of slope 1: phases")
    nk.phase.plot_phase_diagram("relu", middle, title="relu: phases")

    b_std = 0.3
    edge = float(nk.phase.critical_line(phi, b_std=[b_std]).W_std[0])
    print(f"b_std = {b_std}: the edge of chaos is at W_std = {edge:.4f}")
    found = {}
    for factor in (0.8, 1.0, 1.5):
        point = nk.phase.fixed_point(phi, factor * edge, b_std)
        print(f"W_std = {factor:.1f} edge: {point}")
        found[f"{point.phase}, W_std = {factor * edge:.2f}"] = nk.phase.ntk_conditioning(
            phi, factor * edge, b_std
        )
    nk.phase.plot_conditioning(found, right, title="NTK of 16 rows: marks measured, lines theory")
    figure.savefig(picture)
    print(f"written: {picture}")


if __name__ == "__main__":
    main(*sys.argv[1:])
