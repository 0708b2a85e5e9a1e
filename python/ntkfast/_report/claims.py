"""What theory says of wide networks, as the page states it: one claim, one section."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CLAIMS", "Claim"]


class Claim(NamedTuple):
    """A section of the page."""

    heading: str
    short: str
    text: str


CLAIMS = {
    "deviation": Claim(
        "The tangent kernel is deterministic at infinite width",
        "kernel at the start",
        "Tangent kernels of random networks against the infinite network's. Largest difference "
        "over all pairs (ntk) and Frobenius norm (relative). Jacot et al. 2018; Arora et al. "
        "2019, theorem 3.1: |difference| &le; (L + 1) &epsilon; with probability 1 &minus; "
        "&delta; from some width on.",
    ),
    "misprint": Claim(
        "The formula needs the derivative's covariance",
        "misprint",
        "The recursion with the covariance where that of the derivative belongs (a dot that is "
        "easily lost in print): its kernel is not approached.",
    ),
    "constancy": Claim(
        "The tangent kernel stays constant in training",
        "kernel in training",
        "Change of the kernel of the training samples along gradient descent, over its norm at "
        "the start. The proved bound is width<sup>&minus;1/2</sup> (Lee et al. 2019); smooth "
        "networks are found to do better, width<sup>&minus;1</sup> (Dyer and Gur-Ari 2020).",
    ),
    "linearization": Claim(
        "Wide networks train like their first-order Taylor model",
        "linearization",
        "Outputs at unseen samples after training, beside those of the Taylor model trained the "
        "same way, and beside the closed form with the infinite network's kernel.",
    ),
    "lazy": Claim(
        "Wide networks train lazily",
        "laziness",
        "&kappa; = |f(T) &minus; f(0)| &#8214;Hessian&#8214; / "
        "&#8214;gradient&#8214;<sup>2</sup> of every sample (Chizat et al. 2019), and how far "
        "its gradient really moves.",
    ),
    "equivalence": Claim(
        "Trained to convergence, networks equal kernel regression",
        "theorem 3.2",
        "Arora et al. 2019, theorem 3.2: largest |f<sub>nn</sub> &minus; f<sub>ntk</sub>| over "
        "unseen samples, with f<sub>nn</sub> = scale &middot; f. What remains of the initial "
        "function is proportional to the scale and does not shrink with width; against the "
        "closed form with the same start it is gone. A smaller scale needs a larger width.",
    ),
    "gaussian": Claim(
        "Outputs of random networks are a Gaussian process",
        "Gaussian process",
        "Standardized with the NNGP kernel, outputs at several samples should be independent "
        "N(0, 1) (Neal 1996 for one hidden layer, Lee et al. 2018). Mardia's joint kurtosis "
        "over that of a Gaussian, less 1, falls like 1 / width; p-values are those of "
        "Kolmogorov-Smirnov tests.",
    ),
    "accuracy": Claim(
        "And in practice?",
        "accuracy",
        "The same samples for all: the trained network (stochastic gradient descent, stopped by "
        "validation), and kernel regression (ridge by validation) with its own kernel before "
        "and after training, the NTK and the NNGP kernel. The theory is one of infinite width; "
        "what helps on real data is for the data to say.",
    ),
}
