"""Sin, Cos, Rbf, Exp, ExpNormalized, Gaussian and Gabor over their whole domains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast.layers import LAYERS, Activation
from oracle import arch as A
from oracle import highprec, quadrature
from oracle.compare import assert_close
from support import Array, assert_true, awkward_rows

SIN = {"type": "Sin"}
PHASES = [{"type": "Sin", "c": c} for c in (1e-9, 1e-4, 0.3, np.pi / 4, 1.5, np.pi / 2, 2.0)]
WAVES = [SIN, {"type": "Cos"}, {"type": "Cos", "a": 0.7, "b": 1.4, "c": -0.4}, {"type": "Rbf"}]
BELLS = [{"type": "Gaussian"}, {"type": "Gaussian", "a": 2.0, "b": -0.3}, {"type": "Gabor"}]
GROWING = {"type": "Gaussian", "a": 1.5, "b": 0.2}  # q < 1.25
EXP = {"type": "Exp", "a": 0.5, "b": 0.3}
NORMALIZED = [{"type": "ExpNormalized"}, {"type": "ExpNormalized", "gamma": 2.5, "shift": -0.7}]

#: rho = 1, 1 - 1e-7, in between, -1 + 1e-7, -1.
ANGLES = [0.0, 2e-7**0.5, 0.4, np.pi / 2, 2.0, np.pi - 2e-7**0.5, np.pi]
every_angle = pytest.mark.parametrize("theta", ANGLES)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def _name(layer: Any) -> str:
    return "-".join(map(str, layer.values())) if isinstance(layer, dict) else str(layer)


def _rows(q: float, p: float, theta: float) -> tuple[Array, Array]:
    x = np.array([[np.sqrt(q), 0.0]])
    return x, np.sqrt(p) * np.array([[np.cos(theta), np.sin(theta)]])


#: (layer, variances): where the quadrature resolves phi. A wave with a standard deviation of 30
#: oscillates faster than its panels, and phi(u)^2 of the growing ones peaks beyond their reach.
RESOLVED = [
    *((layer, (1e-6, 0.8, 1.0, 100.0, 200.0)) for layer in WAVES),
    *((layer, (1e-6, 0.8, 1.0, 900.0, 1e6)) for layer in BELLS),
    (GROWING, (1e-6, 0.3, 0.5)),
    (EXP, (1e-6, 0.8, 1.0, 16.0)),
]


@every_angle
@pytest.mark.parametrize(("layer", "variances"), RESOLVED, ids=_name)
def test_one_layer_agrees_with_quadrature_that_knows_phi_alone(
    layer: dict[str, Any], variances: tuple[float, ...], theta: float
) -> None:
    net = nk.from_dict(A.serial(A.dense(2**0.5), layer))
    for q, p in zip(variances, (*variances[1:], variances[-1]), strict=True):
        x, z = _rows(q, p, theta)
        got = net.kernels(x, z)
        dual, slope = quadrature.duals(layer, q, p, theta)
        scale = [net.diag(x, kind=kind)[0] * net.diag(z, kind=kind)[0] for kind in ("nngp", "ntk")]
        # 2e-12 for the library, whose rows are rounded, and the quadrature, times the growth
        tolerance = 2e-12 * max(net.conditioning(x), net.conditioning(z))
        assert abs(got.nngp[0, 0] - dual) <= tolerance * np.sqrt(scale[0])
        K = np.sqrt(q * p) * np.cos(theta)
        assert abs(got.ntk[0, 0] - K * slope) <= tolerance * np.sqrt(scale[1])


@every_dtype
@pytest.mark.parametrize("layer", [*WAVES, *PHASES, *BELLS, *NORMALIZED], ids=_name)
def test_one_layer_agrees_with_sixty_digits_at_every_variance(
    layer: dict[str, Any], dtype: str
) -> None:
    """q from 1e-6 to 1e6 in any mix, rho = +-1, 1e-7 from them and in between."""
    size = np.sqrt([1e-6, 1e-3, 0.1, 1.0, 3.0, 1e2, 1e3, 1e6])[:, None]
    direction = np.array([[np.cos(theta), np.sin(theta)] for theta in ANGLES])
    x = (np.array([[2**0.5, 0.0]]) * size).astype(dtype)
    z = (2**0.5 * direction[:, None, :] * size[None, :, :]).reshape(-1, 2).astype(dtype)
    assert_true(A.serial(A.dense(), layer), x, z)


@every_dtype
@pytest.mark.parametrize("layer", [GROWING, EXP], ids=_name)
def test_growing_functions_agree_with_sixty_digits(layer: dict[str, Any], dtype: str) -> None:
    size = np.sqrt([1e-6, 1e-3, 0.1, 0.5, 1.0, 1.2])[:, None]
    direction = np.array([[np.cos(theta), np.sin(theta)] for theta in ANGLES])
    x = (2**0.5 * direction[:, None, :] * size[None, :, :]).reshape(-1, 2).astype(dtype)
    assert_true(A.serial(A.dense(), layer), x)


@every_dtype
@pytest.mark.parametrize("b_std", [None, 0.1])
@pytest.mark.parametrize("depth", [1, 3, 10, 20])
@pytest.mark.parametrize("layer", [EXP, *NORMALIZED, *PHASES[:2], PHASES[3]], ids=_name)
def test_awkward_rows_at_every_depth(
    layer: dict[str, Any], depth: int, b_std: float | None, dtype: str
) -> None:
    phi = LAYERS[layer["type"]](**{k: v for k, v in layer.items() if k != "type"})
    shrink = phi.critical_W_std if isinstance(phi, nk.ExpNormalized) else 0.9
    arch = A.mlp(depth, layer, shrink, b_std)
    assert_true(arch, awkward_rows(dtype, seed=depth))


@every_dtype
@pytest.mark.parametrize("layer", [*WAVES, *BELLS], ids=_name)
def test_deficits_behind_a_wave_or_a_bell_reach_a_kink_with_all_their_digits(
    layer: dict[str, Any], dtype: str
) -> None:
    """An error of rho of one rounding would be 1e-8, or 3e-4 in float32, of the NTK."""
    relu = {"type": "Relu"}
    arch = A.serial(
        *(part for phi in (layer, relu, relu, layer, relu) for part in (A.dense(1.2, 0.1), phi)),
        A.dense(),
    )
    assert_true(arch, awkward_rows(dtype))


def test_gaussian_rows_of_huge_norm() -> None:
    """(1 + 2 q)(1 + 2 q') - 4 K^2 loses all digits there: NaN, infinity or 0 in that form."""
    x = awkward_rows("float64")[[0, 2, 5, 7]] * 1e8
    for depth in (1, 3):
        got = assert_true(A.mlp(depth, {"type": "Gaussian"}, 1.0, 0.1), x)
        assert np.isfinite(got.nngp).all()
        assert np.diag(got.ntk).min() > 0


@every_dtype
@pytest.mark.parametrize("b_std", [None, 0.1])
def test_sine_of_tiny_rows_is_linear(b_std: float | None, dtype: str) -> None:
    """1 - exp(-2 q) formed plainly is 2.4% off at a norm of 1e-8."""
    x = (1e-8 * awkward_rows("float64")).astype(dtype)
    got = assert_true(A.mlp(1, SIN, 1.0, b_std), x)
    if b_std is None:
        linear = x.astype(np.float64) @ x.T.astype(np.float64) / x.shape[1]
        tolerance = 1e-14 if dtype == "float64" else 1e-6
        assert_close(got.nngp, linear, np.abs(linear).max() + 0 * linear, tolerance)


def test_waves_of_huge_rows_know_only_equal_ones() -> None:
    u = np.random.default_rng(0).standard_normal(6)
    x = 1e8 * np.array([u, u, 1.001 * u, -u, np.roll(u, 1)])
    sine = nk.serial(nk.Dense(), nk.Sin()).nngp(x)
    equal = np.array(
        [[1.0, 1, 0, -1, 0]] * 2 + [[0, 0, 1, 0, 0], [-1, -1, 0, 1, 0], [0, 0, 0, 0, 1]]
    )
    np.testing.assert_allclose(sine, equal / 2, rtol=0, atol=1e-15)
    cosine = nk.serial(nk.Dense(), nk.Cos()).nngp(x)
    np.testing.assert_allclose(cosine, np.abs(equal) / 2, rtol=0, atol=1e-15)


def test_huge_rows_report_how_ill_conditioned_a_wave_is() -> None:
    """sin(1e8 z) of rows that differ by one part in 1e8: chi = q = 1e16."""
    net = nk.serial(nk.Dense(), nk.Sin(), nk.Dense())
    assert net.conditioning([[1e8]]) == pytest.approx(1e16, rel=1e-9)


def test_opposite_rows_stay_exactly_opposite_under_a_sine_and_become_equal_under_a_cosine() -> None:
    x = np.random.default_rng(1).standard_normal((4, 5))
    for size in (1e-8, 1.0, 30.0):
        both = np.concatenate([x, -x]) * size
        odd = nk.mlp(3, nk.Sin()).nngp(both)
        np.testing.assert_array_equal(np.diag(odd[:4, 4:]), -np.diag(odd)[:4])
        even = nk.mlp(3, nk.Cos(), W_std=1.0).nngp(both)
        np.testing.assert_array_equal(np.diag(even[:4, 4:]), np.diag(even)[:4])


def test_a_cosine_is_a_sine_with_its_phase_moved() -> None:
    x = np.random.default_rng(2).standard_normal((5, 3))
    gamma = 0.3
    for one, other in (
        (nk.Cos(1.2, 0.7, 0.3), nk.Sin(1.2, 0.7, 0.3 + np.pi / 2)),
        (nk.Sin(1.2, -0.7, 0.3), nk.Sin(-1.2, 0.7, -0.3)),
        (nk.Rbf(gamma), nk.Sin(2**0.5, (2 * gamma) ** 0.5, np.pi / 4)),
    ):
        left, right = (nk.mlp(2, phi, W_std=1.1, b_std=0.1).kernels(x) for phi in (one, other))
        np.testing.assert_allclose(left.nngp, right.nngp, rtol=0, atol=1e-14)
        np.testing.assert_allclose(left.ntk, right.ntk, rtol=0, atol=1e-13)


def test_rbf_is_the_squared_exponential_of_the_inputs() -> None:
    x = np.random.default_rng(3).standard_normal((6, 4))
    distance = ((x[:, None] - x[None]) ** 2).sum(2)
    got = nk.serial(nk.Dense("sqrt_dim"), nk.Rbf(0.3)).nngp(x)
    np.testing.assert_allclose(got, np.exp(-0.3 * distance), rtol=1e-13, atol=1e-15)


def test_normalized_exponential_is_a_kernel_whose_ntk_is_its_derivative() -> None:
    x = np.random.default_rng(4).standard_normal((6, 4))
    q = (x**2).mean(1)
    K = x @ x.T / 4
    scale = np.sqrt(np.outer(q, q))
    for gamma, shift in ((1.0, -1.0), (2.5, -0.7), (0.0, 0.3)):
        got = nk.serial(nk.Dense(), nk.ExpNormalized(gamma, shift)).kernels(x)
        factor = np.exp(gamma * (K / scale + shift))
        np.testing.assert_allclose(got.nngp, scale * factor, rtol=1e-13)
        np.testing.assert_allclose(got.ntk, K * gamma * factor, rtol=1e-13, atol=1e-15)
        assert np.linalg.eigvalsh(got.nngp)[0] > -1e-14


@pytest.mark.parametrize("layer", [nk.Rbf, nk.ExpNormalized])
def test_a_negative_gamma_is_not_a_kernel(layer: Any) -> None:
    with pytest.raises(ValueError, match=r"gamma=\.\.\.\) must be a finite number >= 0, got -0.5"):
        layer(gamma=-0.5)


@every_dtype
def test_a_growing_gaussian_names_the_variance_that_it_stands(dtype: str) -> None:
    net = nk.serial(nk.Dense(), nk.Relu(), nk.Dense(2**0.5), nk.Gaussian(b=0.2), nk.Dense())
    x = np.ones((3, 4), dtype)
    assert np.isfinite(net.ntk(x)).all()
    x[1] *= np.dtype(dtype).type(1.2)
    message = r"row 1 of X reaches Gaussian \(layer 4\) with K\(x, x\) = 1\.44, .* below 1\.25 only"
    for call in (net.ntk, net.diag, net.conditioning):
        with pytest.raises(nk.errors.KernelOverflowError, match=message):
            call(x)
    with pytest.raises(nk.errors.KernelOverflowError, match="row 1 of Z"):
        net.nngp(x[:1], x)
    # the border itself is outside
    border = nk.serial(nk.Dense(), nk.Gaussian(b=0.25))
    assert np.isfinite(border.nngp([[1 - 1e-9]])).all()
    with pytest.raises(nk.errors.KernelOverflowError, match="below 1 only"):
        border.nngp([[1.0]])


@every_dtype
def test_an_exponential_that_overflows_is_a_clear_error(dtype: str) -> None:
    for layers in (
        [nk.Dense(), nk.Exp(), nk.Dense()],
        [nk.Dense(), nk.Exp(), nk.Dense(), nk.Gaussian(), nk.Dense()],  # finite again behind it
        [nk.Dense(trainable=False), nk.Exp(), nk.Dense(b_std=0.1), nk.Erf()],
    ):
        net = nk.serial(*layers)
        x = np.array([[1.0], [1e3]], dtype)
        assert np.isfinite(net.nngp(x[:1])).all()
        with pytest.raises(nk.errors.KernelOverflowError, match="row 1 of X"):
            net.nngp(x)


def test_repairs_of_near_duplicates_in_float32_hold_for_large_phases() -> None:
    """b p = 300: a rounding of the norm alone would move the kernel by 1e-5 of itself."""
    u = np.random.default_rng(6).standard_normal(20)
    steps = np.outer(10.0 ** -np.arange(2, 7), np.random.default_rng(7).standard_normal(20))
    x = (u + steps).astype(np.float32)
    for arch in (A.serial(A.dense(300.0), SIN), A.serial(A.dense(300.0), {"type": "Rbf"})):
        got = nk.from_dict(arch).nngp(x)
        true = highprec.truth(arch, x)
        assert_close(got, true.nngp, true.nngp_scale, 2e-6)


@pytest.mark.parametrize("layer", [*WAVES, *PHASES[:3], *BELLS, GROWING, EXP], ids=_name)
def test_phi_is_the_function_that_the_quadrature_integrates(layer: dict[str, Any]) -> None:
    x = np.linspace(-3, 3, 25)
    phi = LAYERS[layer["type"]](**{k: v for k, v in layer.items() if k != "type"})
    assert isinstance(phi, Activation)
    np.testing.assert_allclose(phi.phi(x), quadrature.functions(layer)[0](x), rtol=0, atol=1e-14)
    assert phi.phi(x.astype(np.float32)).dtype == np.float32


def test_the_normalized_exponential_has_no_phi() -> None:
    with pytest.raises(NotImplementedError, match="ExpNormalized is a kernel without a function"):
        nk.ExpNormalized().phi(np.zeros(3))
