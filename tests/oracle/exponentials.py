"""60-digit duals of activations made of exponentials and sinusoids, in their plainest form."""

from __future__ import annotations

from mpmath import mp, mpf

from oracle.arch import Layer

Pair = tuple[mpf, mpf]


def _number(layer: Layer, name: str, default: float) -> mpf:
    return mpf(layer.get(name, default))


def _sinusoid(b: mpf, phase: mpf, k: mpf, q: mpf, p: mpf) -> Pair:
    """sin(b x + phase), from the characteristic function of u - v and of u + v."""
    minus = mp.exp(-b * b * ((q + p) / 2 - k)) / 2
    plus = mp.cos(2 * phase) * mp.exp(-b * b * ((q + p) / 2 + k)) / 2
    return minus - plus, b * b * (minus + plus)


def sin(layer: Layer, k: mpf, q: mpf, p: mpf) -> Pair:
    """E[phi phi] and E[phi' phi'] of a sin(b x + c) (Rahimi & Recht 2007)."""
    a, b, c = (_number(layer, name, default) for name, default in (("a", 1), ("b", 1), ("c", 0)))
    value, slope = _sinusoid(b, c, k, q, p)
    return a * a * value, a * a * slope


def cos(layer: Layer, k: mpf, q: mpf, p: mpf) -> Pair:
    """The same of a cos(b x + c)."""
    a, b, c = (_number(layer, name, default) for name, default in (("a", 1), ("b", 1), ("c", 0)))
    value, slope = _sinusoid(b, c + mp.pi / 2, k, q, p)
    return a * a * value, a * a * slope


def rbf(layer: Layer, k: mpf, q: mpf, p: mpf) -> Pair:
    """The same of sqrt(2) sin(sqrt(2 gamma) x + pi / 4): a squared exponential kernel."""
    gamma = _number(layer, "gamma", 1)
    value = mp.exp(-gamma * (q + p - 2 * k))
    return value, 2 * gamma * value


def exp(layer: Layer, k: mpf, q: mpf, p: mpf) -> Pair:
    """The same of a exp(b x): the moment generating function of u + v."""
    a, b = _number(layer, "a", 1), _number(layer, "b", 1)
    value = a * a * mp.exp(b * b * (q + p + 2 * k) / 2)
    return value, b * b * value


def exp_normalized(layer: Layer, k: mpf, q: mpf, p: mpf) -> Pair:
    """Evaluate sqrt(q p) exp(gamma (rho + shift)) and its derivative by k (Shankar et al. 2020)."""
    gamma, shift = _number(layer, "gamma", 1), _number(layer, "shift", -1)
    scale = mp.sqrt(q * p)
    factor = mp.exp(gamma * ((k / scale if scale else mpf(0)) + shift))
    return scale * factor, gamma * factor


def gaussian(layer: Layer, k: mpf, q: mpf, p: mpf) -> Pair:
    """E[phi phi] and E[phi' phi'] of a exp(b x^2): a Gaussian integral."""
    a, b = _number(layer, "a", 1), _number(layer, "b", -1)
    det = (1 - 2 * b * q) * (1 - 2 * b * p) - 4 * b * b * k * k
    return a * a / mp.sqrt(det), 4 * a * a * b * b * k / det ** mpf(1.5)


def gabor(layer: Layer, k: mpf, q: mpf, p: mpf) -> Pair:
    """The same of exp(-x^2) sin(x), by integration by parts under the tilted Gaussian measure."""
    det = (1 + 2 * q) * (1 + 2 * p) - 4 * k * k
    u, v, c = (q * (1 + 2 * p) - 2 * k * k) / det, (p * (1 + 2 * q) - 2 * k * k) / det, k / det
    weight = mp.exp(-(u + v) / 2) / mp.sqrt(det)
    coscos, sinsin = weight * mp.cosh(c), weight * mp.sinh(c)
    crossed = (u + v) * coscos - 2 * c * sinsin  # E[u sin u cos v] + E[v cos u sin v]
    both = (u * v + c * c) * coscos + c * (1 - u - v) * sinsin  # E[u sin u v sin v]
    return sinsin, coscos - 2 * crossed + 4 * both
