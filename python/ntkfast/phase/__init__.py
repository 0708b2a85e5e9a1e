"""How signals travel through deep networks: fixed points, order and chaos, depth scales.

Through a deep network with weights of size ``W_std`` and biases of size ``b_std`` the variance q of
a signal goes to a fixed point, the correlation c of two signals to another. Where equal signals
stay equal the network is ordered, where they part it is chaotic, and it can be trained at great
depth only near the line between the two (Poole et al. 2016, Schoenholz et al. 2017).

Nothing here knows a formula of an activation. All comes from the kernels of the library: the NNGP
diagonal is the map of variances, the NTK behind one trained layer is the expansion chi.

>>> import ntkfast as nk
>>> point = nk.phase.fixed_point(nk.Erf(), W_std=2.0, b_std=0.1)
>>> point.phase, round(point.chi_1, 4)
('chaotic', 1.5287)
"""

from __future__ import annotations

from .conditioning import Conditioning, ntk_conditioning
from .fixed_points import FixedPoint, chi_1, fixed_point
from .lines import CriticalLine, PhaseDiagram, critical_line, phase_diagram
from .plots import plot_conditioning, plot_phase_diagram
from .propagation import correlation_map, variance_map

__all__ = [
    "Conditioning",
    "CriticalLine",
    "FixedPoint",
    "PhaseDiagram",
    "chi_1",
    "correlation_map",
    "critical_line",
    "fixed_point",
    "ntk_conditioning",
    "phase_diagram",
    "plot_conditioning",
    "plot_phase_diagram",
    "variance_map",
]
