"""Sign, powers of the positive part, and polynomials: what their own shapes make difficult."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

import ntkfast as nk
from oracle import arch as A
from oracle import highprec, polynomials, quadrature
from oracle.compare import TOLERANCE, assert_close
from oracle.reference import FOLDER
from support import Array, assert_true, awkward_rows

SMOOTH: list[dict[str, Any]] = [
    *({"type": "RectifiedMonomial", "degree": n} for n in (1, 2, 3, 4, 7, 16)),
    *({"type": "Monomial", "degree": n} for n in (0, 1, 2, 3, 4, 9)),
    *({"type": "Hermite", "degree": n} for n in (0, 1, 2, 3, 4, 31, 32)),
    *(
        {"type": "Polynomial", "coef": coef}
        for coef in (
            [0.1, 0.5, 0.2],
            [0.3, -0.5, 0.2, 0.1],  # both parities of either sign
            [1.0, 0.0, -1.0],  # a_0(p) = 1 - p^2 changes its sign at p = 1
            [0.0, 1.0, 0.0, -0.3],  # odd, a_1(p) changes its sign
            [0.0, 0.0, 1e-3, 1.0, 0.0],
            [-2.0],
            [0.0, 0.0],
        )
    ),
]
JUMPS: list[dict[str, Any]] = [{"type": "Sign"}, {"type": "RectifiedMonomial", "degree": 0}]


def _degree(layer: A.Layer) -> int:
    return layer["degree"] if "degree" in layer else len(layer.get("coef", "0")) - 1


def _name(layer: A.Layer) -> str:
    return layer["type"] + str(layer.get("degree", layer.get("coef", "")))


every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
smooth = pytest.mark.parametrize("layer", SMOOTH, ids=_name)
jumping = pytest.mark.parametrize("layer", JUMPS, ids=_name)
with_and_without_bias = pytest.mark.parametrize("b_std", [None, 0.1], ids=["nobias", "bias"])


def _unit_rows(dtype: str, seed: int) -> Array:
    """`awkward_rows` with K within 10% of 1, so that no power overflows."""
    x = awkward_rows("float64", seed=seed)
    x *= np.linspace(0.95, 1.05, len(x))[:, None] / np.sqrt((x * x).mean(1))[:, None]
    return x.astype(dtype)


@pytest.mark.parametrize("theta", [0.0, 1e-7, 0.3, np.pi / 2, 2.0, np.pi - 1e-7, np.pi])
@pytest.mark.parametrize(
    # Higher powers have weight beyond the reach of the quadrature.
    "layer",
    [layer for layer in [*SMOOTH, *JUMPS] if _degree(layer) <= 16],
    ids=_name,
)
def test_one_layer_agrees_with_quadrature_that_knows_phi_alone(
    layer: A.Layer, theta: float
) -> None:
    net = nk.from_dict(A.serial(A.dense(), layer))
    for q, p in [(0.01, 1.2), (4.0, 0.5)]:
        x = np.array([[np.sqrt(q), 0.0]])
        z = np.sqrt(p) * np.array([[np.cos(theta), np.sin(theta)]])
        got = net.kernels(np.sqrt(2) * x, np.sqrt(2) * z)
        dual, slope = quadrature.duals(layer, q, p, theta)
        K = np.sqrt(q * p) * np.cos(theta)
        sides = [quadrature.duals(layer, v, v, 0.0) for v in (q, p)]
        chi = max(v * s / k if k > 0 else 1 for v, (k, s) in zip((q, p), sides, strict=True))
        # an angle of 1e-7 is known to 1e-16 only: times the condition, as in conditioning()
        scale = 2e-12 * max(1.0, chi)
        assert abs(got.nngp[0, 0] - dual) <= scale * np.sqrt(sides[0][0] * sides[1][0])
        assert abs(got.ntk[0, 0] - K * slope) <= scale * np.sqrt(q * p * sides[0][1] * sides[1][1])


@every_dtype
@with_and_without_bias
@pytest.mark.parametrize(
    ("layer", "depth"),
    # Powers of powers leave the range: deep networks of low degrees only.
    [
        (layer, depth)
        for layer in SMOOTH
        for depth in (1, 2, 3)
        if depth == 1 or _degree(layer) ** depth <= 27
    ],
    ids=lambda value: _name(value) if isinstance(value, dict) else str(value),
)
def test_awkward_rows_of_unit_norm(
    layer: A.Layer, depth: int, b_std: float | None, dtype: str
) -> None:
    arch = A.mlp(depth, layer, 0.9, b_std)
    x = _unit_rows(dtype, depth)
    assert_true(arch, x, what="gram")
    assert_true(arch, x[:5], x[2:], what="cross")


@every_dtype
@smooth
def test_a_kink_behind_sees_relative_deficits(layer: A.Layer, dtype: str) -> None:
    """The NTK of Relu and Abs needs 1 - |rho| with relative accuracy."""
    layers = [A.dense(1.0, 0.1), layer, A.dense(), {"type": "Relu"}, A.dense(2**0.5)]
    layers += [{"type": "Abs"}, A.dense(1.0, 0.2)]
    assert_true(A.serial(*layers), _unit_rows(dtype, 7))


@every_dtype
@pytest.mark.parametrize(
    "layer",
    [layer for layer in SMOOTH if _degree(layer) <= 3],
    ids=_name,
)
def test_norms_over_sixteen_orders_of_magnitude(layer: A.Layer, dtype: str) -> None:
    reach = 8 if dtype == "float64" else 4
    rows = awkward_rows("float64")[[0, 2, 5, 7]]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    x = np.concatenate([rows * power for power in 10.0 ** np.array([-reach, 0, reach])])
    for b_std in (None, 0.1):
        assert_true(A.mlp(1, layer, 0.9, b_std), x.astype(dtype))


@every_dtype
@with_and_without_bias
@pytest.mark.parametrize("layer", [*SMOOTH, *JUMPS], ids=_name)
def test_zero_rows_and_inputs_of_one_column(
    layer: A.Layer, b_std: float | None, dtype: str
) -> None:
    """A zero row gives phi(0)^2, which is 0 for the sign and for every positive part."""
    x = np.array([[1.0], [1.0], [-1.0], [0.5], [-0.0], [-1.25], [0.0]], dtype=dtype)
    assert_true(A.mlp(1, layer, 0.9, b_std), x)
    assert_true(A.mlp(1, layer, 0.9, b_std), np.zeros((2, 3), dtype))


@every_dtype
@pytest.mark.parametrize("layer", [*SMOOTH, *JUMPS], ids=_name)
def test_every_magnitude_gives_finite_kernels_or_a_clear_error(layer: A.Layer, dtype: str) -> None:
    info = np.finfo(dtype)
    u = np.array([[0.3, -1.0, 2.0], [-0.2, 0.9, -2.0]])
    net = nk.from_dict(A.mlp(1, layer, 0.9))
    for size in (info.smallest_subnormal, info.tiny, 1e-30, 1e-8, 1.0, 1e4, 1e10, info.max / 4):
        x = np.concatenate([u * float(size), u]).astype(dtype)
        try:
            got = net.kernels(x)
        except nk.errors.KernelOverflowError:
            assert size > 1
            continue
        except ValueError:  # already the squares of the row overflow
            assert size > 1e10
            continue
        assert np.isfinite(got.nngp).all()
        assert np.isfinite(got.ntk).all()


@pytest.mark.parametrize("phi", [nk.Monomial(16), nk.RectifiedMonomial(16), nk.Hermite(16)])
def test_a_power_beyond_the_range_is_found_in_the_row_pass(phi: nk.layers.Activation) -> None:
    x = np.array([[1.0, 1.0], [1e10, -1e10]])
    net = nk.serial(nk.Dense(), phi, nk.Dense())
    for call in (net.ntk, net.nngp, net.diag):
        with pytest.raises(nk.errors.KernelOverflowError, match="row 1"):
            call(x)
    # Also where a later layer would bound it again.
    deep = nk.serial(nk.Dense(), phi, nk.Dense(), phi, nk.Dense(), phi, nk.Dense(), nk.Erf())
    with pytest.raises(nk.errors.KernelOverflowError, match="row 1"):
        deep.nngp(x)


def test_a_power_below_the_range_is_zero_and_harms_no_other_row() -> None:
    x = np.array([[1e-30, 1e-30], [0.5, -1.0], [1e-30, -1e-30]])
    for phi in (nk.Monomial(32), nk.RectifiedMonomial(16), nk.Polynomial([0] * 12 + [1, 1])):
        got = nk.serial(nk.Dense(), phi, nk.Dense(), nk.Relu(), nk.Dense()).kernels(x)
        for kernel in got:
            assert np.isfinite(kernel).all()
            assert (kernel[0] == 0).all()
            assert kernel[1, 1] > 0


@every_dtype
def test_a_change_of_sign_makes_negative_correlations_of_positive_ones(dtype: str) -> None:
    """1 - x^2 at p = 0.2 and p = 20: K < 0 although the rows are parallel, behind a Relu too."""
    x = np.array([[0.2, 0.0], [0.2, 0.01], [20.0, 0.0], [30.0, 1.0], [-20.0, 0.0]], dtype=dtype)
    layer = {"type": "Polynomial", "coef": [1.0, 0.0, -1.0]}
    got = assert_true(A.mlp(1, layer, 1.0), x)
    assert got.nngp[0, 2] < 0
    behind = [A.dense(), {"type": "Relu"}, A.dense(), layer, A.dense(), {"type": "Abs"}, A.dense()]
    assert_true(A.serial(*behind), x)
    behind[5] = {"type": "LeakyRelu", "alpha": 0.5}
    assert_true(A.serial(*behind), x)


@pytest.mark.parametrize("n", [61, 256, 300])
def test_blocks_and_remainders_agree(n: int) -> None:
    """Series take a vector of pairs at a time: no entry depends on where it falls."""
    x = np.random.default_rng(n).standard_normal((n, 5))
    for phi in (nk.Monomial(2), nk.Monomial(3), nk.Polynomial([0.2, 1, -0.5, 0.1])):
        net = nk.serial(nk.Dense(0.5, 0.2), phi, nk.Dense(0.5), phi, nk.Dense())
        whole = net.kernels(x)
        for j in (0, n // 2, n - 1):
            one = net.kernels(x, x[j : j + 1])
            for got, want in zip(one, whole, strict=True):
                np.testing.assert_allclose(got[:, 0], want[:, j], rtol=1e-11, atol=1e-13)


@every_dtype
@pytest.mark.parametrize("isa", nk._core.isa_available())
def test_every_instruction_set_holds_the_tolerance(isa: str, dtype: str) -> None:
    x = np.concatenate([_unit_rows(dtype, 1), _unit_rows(dtype, 2)])  # 20 rows: a block and a rest
    with nk.config(isa=isa):
        for layer in SMOOTH[::2]:
            assert_true(A.mlp(1, layer, 0.9, 0.1), x, what=f"{isa} {_name(layer)}")


SAME = [
    (nk.RectifiedMonomial(1), nk.Relu()),
    (nk.Monomial(1), nk.Identity()),
    (nk.Hermite(1), nk.Identity()),
    (nk.Polynomial([0, -1]), nk.Identity()),
    (nk.Polynomial([0, 0, 0, 2]), nk.Polynomial([0, 0, 0, 2, 0, 0])),
    (nk.Monomial(5), nk.Polynomial([0, 0, 0, 0, 0, 1])),
    (nk.Hermite(2), nk.Polynomial([-(0.5**0.5), 0, 0.5**0.5])),
    (nk.Hermite(3), nk.Polynomial([0, -3 / 6**0.5, 0, 6**-0.5])),
]


@pytest.mark.parametrize(("one", "other"), SAME, ids=repr)
def test_one_function_under_two_names_has_one_kernel(
    one: nk.layers.Activation, other: nk.layers.Activation
) -> None:
    x = _unit_rows("float64", 3)
    nets = [nk.serial(nk.Dense(1.0, 0.2), phi, nk.Dense()) for phi in (one, other)]
    left, right = (net.kernels(x) for net in nets)
    np.testing.assert_allclose(left.nngp, right.nngp, rtol=0, atol=1e-14)
    np.testing.assert_allclose(left.ntk, right.ntk, rtol=0, atol=1e-13)


def test_both_halves_of_a_square_make_the_square() -> None:
    """x^2 = max(x, 0)^2 + max(-x, 0)^2, and max(-x, 0) sees opposite rows."""
    x = _unit_rows("float64", 3)
    half, whole = (
        nk.serial(nk.Dense(), phi, nk.Dense()) for phi in (nk.RectifiedMonomial(2), nk.Monomial(2))
    )
    np.testing.assert_allclose(
        2 * half.nngp(x) + 2 * half.nngp(x, -x), whole.nngp(x, x.copy()), rtol=0, atol=1e-13
    )


def test_a_step_is_half_of_one_plus_a_sign() -> None:
    x = _unit_rows("float64", 3)[4:]
    step, sign = (
        nk.serial(nk.Dense(1.0, 0.3), phi).nngp(x) for phi in (nk.RectifiedMonomial(0), nk.Sign())
    )
    np.testing.assert_allclose(step, (1 + sign) / 4, rtol=0, atol=1e-15)


def test_hermite_at_unit_variance_is_a_power() -> None:
    x = np.random.default_rng(0).standard_normal((20, 6))
    x /= np.sqrt((x * x).mean(1, keepdims=True))
    rho = x @ x.T / 6
    for n in (1, 2, 5, 12):
        got = nk.serial(nk.Dense(), nk.Hermite(n)).kernels(x)
        np.testing.assert_allclose(got.nngp, rho**n, rtol=0, atol=1e-13)
        np.testing.assert_allclose(got.ntk, n * rho**n, rtol=0, atol=1e-12)


def test_the_recurrence_of_the_arc_cosine_oracle_is_the_definition_of_cho_and_saul() -> None:
    """J_n = (-1)^n sin^(2n+1) (1/sin d/dtheta)^n (pi - theta)/sin(theta)."""
    with mp.workdps(60):
        for theta in (mpf("0.7"), mpf(2), mpf(3)):

            def f(t: mpf) -> mpf:
                return (mp.pi - t) / mp.sin(t)

            first = mp.diff(f, theta) / mp.sin(theta)
            second = mp.diff(lambda t: mp.diff(f, t) / mp.sin(t), theta) / mp.sin(theta)
            sine = mp.sin(theta)
            assert abs(-(sine**3) * first - polynomials.arc_cosine(1, theta)) < 1e-20
            assert abs(sine**5 * second - polynomials.arc_cosine(2, theta)) < 1e-15
        # E[max(u, 0)^n max(v, 0)^n] at rho = 0 and 1, for all orders
        for n in range(17):
            half = mp.fac2(n - 1) / 2 * (1 if n % 2 == 0 else mp.sqrt(2 / mp.pi))
            assert mp.almosteq(polynomials.arc_cosine(n, mp.pi / 2) / (2 * mp.pi), half**2, 1e-50)
            one = mp.fac2(2 * n - 1) / 2
            assert mp.almosteq(polynomials.arc_cosine(n, mpf(0)) / (2 * mp.pi), one, 1e-50)


def test_the_diagonal_of_rectified_monomials_where_the_peer_has_nan() -> None:
    with np.load(FOLDER / "mlp_rectmonomial2_d1.npz", allow_pickle=False) as file:
        peer, true, x = file["ntk_11"], file["ntk_11_hp"], file["x1"]
    net = nk.serial(nk.Dense(1.3, 0.1), nk.RectifiedMonomial(2), nk.Dense(1.3, 0.1))
    assert np.isnan(np.diag(peer)).all()
    np.testing.assert_allclose(net.ntk(x), true, rtol=1e-12)
    np.testing.assert_allclose(net.diag(x), np.diag(true), rtol=1e-12)


# A jump turns an angle into a correlation: delta' ~ sqrt(delta). Behind the first layer of a deep
# network errors are what the input angle is known to, a rounding or two of a unit vector, and the
# map amplifies them without bound near 0. Tests of jumps therefore compare with the range that
# the truth takes over that error.
def _jump_bounds(
    layer: A.Layer, depth: int, theta: mpf, error: float, w: float, b: float
) -> tuple[float, float]:
    """Smallest and largest K of the network behind angles theta -+ error; unit K in front."""
    bounds = []
    for angle in (theta - error, theta + error):
        k, q = mp.cos(min(max(angle, mpf(0)), mp.pi)), mpf(1)
        for _ in range(depth):
            k, q = (highprec.DUALS[layer["type"]](layer, v, q, q)[0] for v in (k, q))
            k, q = w * w * k + b * b, w * w * q + b * b
        bounds.append(float(k))
    return bounds[1], bounds[0]


@every_dtype
@with_and_without_bias
@pytest.mark.parametrize("depth", [1, 2, 5, 20])
@jumping
def test_jumps_lose_no_more_than_the_input_angle(
    layer: A.Layer, depth: int, b_std: float | None, dtype: str
) -> None:
    """Unit rows in a plane at angles from 0 through 1e-7 to pi, exact equals and opposites."""
    w, b = 1.3, b_std or 0.0
    angles = np.array([0, 0, 1e-7, 1e-5, 1e-3, 0.1, 1, np.pi / 2, 3, np.pi])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(dtype)
    x[-1] = -x[0]
    layers = [A.dense(1.0), *[layer, A.dense(w, b_std)] * depth]
    got = nk.from_dict(A.serial(*layers)).kernels(x, x.copy())
    u = np.finfo(dtype).eps / 2
    scale = w * w * (1.0 if layer["type"] == "Sign" else 0.5) + b * b
    with mp.workdps(60):
        rows = [[mpf(float(v)) for v in row] for row in x]
        for i, r in enumerate(rows):
            for j, s in enumerate(rows):
                theta = abs(mp.atan2(r[0] * s[1] - r[1] * s[0], r[0] * s[0] + r[1] * s[1]))
                low, high = _jump_bounds(layer, depth, theta, 4 * float(u) if theta else 0, w, b)
                tolerance = TOLERANCE[np.dtype(dtype)] * scale
                assert low - tolerance <= got.nngp[i, j] <= high + tolerance
    np.testing.assert_array_equal(got.ntk, got.nngp)  # only the readout is trained: phi' = 0


@every_dtype
def test_sign_is_odd_and_its_kernel_knows_directions_alone(dtype: str) -> None:
    x = np.random.default_rng(2).standard_normal((9, 5)).astype(dtype)
    net = nk.serial(nk.Dense(), nk.Sign(), nk.Dense())
    K = net.nngp(x, x.copy())
    tolerance = TOLERANCE[np.dtype(dtype)]
    far = x * np.dtype(dtype).type(2.0**40)
    np.testing.assert_allclose(net.nngp(x, -x), -K, rtol=0, atol=tolerance)
    np.testing.assert_allclose(net.nngp(x, far), K, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(np.diag(K), 1)


@pytest.mark.parametrize(
    ("make", "name"),
    [(nk.Monomial, "Monomial"), (nk.Hermite, "Hermite"), (nk.RectifiedMonomial, "RectifiedM")],
)
def test_a_degree_is_a_whole_number_within_its_limits(make: Any, name: str) -> None:
    for bad in (1.0, True, "2", None, [2]):
        with pytest.raises(TypeError, match=rf"{name}\w*\(degree=\.\.\.\) must be an integer from"):
            make(bad)
    for bad in (-1, 33, 10**400):
        with pytest.raises(ValueError, match=r"must be an integer from 0 to (16|32), got"):
            make(bad)
    assert make(np.int64(3)) == make(3)
    assert type(make(np.int64(3)).degree) is int


def test_coefficients_are_a_sequence_of_finite_numbers() -> None:
    for bad in (None, 1.0, "12", b"12"):
        with pytest.raises(TypeError, match=r"Polynomial\(coef=\.\.\.\) must be a sequence"):
            nk.Polynomial(bad)
    for bad in ([], [1.0] * 34):
        with pytest.raises(ValueError, match=r"a sequence of 1 to 33 finite numbers"):
            nk.Polynomial(bad)
    with pytest.raises(ValueError, match=r"coefficient 1 must be a finite number"):
        nk.Polynomial([1, float("nan")])
    with pytest.raises(TypeError, match=r"coefficient 0 must be a finite number"):
        nk.Polynomial([True])
    assert nk.Polynomial(np.array([1.0, 2.0])) == nk.Polynomial((1, 2))
    assert hash(nk.Polynomial([1, 2])) == hash(nk.Polynomial((1.0, 2.0)))


@every_dtype
@pytest.mark.parametrize("layer", [*SMOOTH, *JUMPS], ids=_name)
def test_phi_is_the_function_that_the_oracle_integrates(layer: A.Layer, dtype: str) -> None:
    x = np.array([[-2.5, -1.0, -0.0], [0.0, 0.5, 3.0]])
    phi = nk.from_dict(A.serial(A.dense(), layer)).layers[1]
    assert isinstance(phi, nk.layers.Activation)
    got = phi.phi(x.astype(dtype))
    assert got.dtype == dtype
    want = np.broadcast_to(quadrature.functions(layer)[0](x), x.shape)
    rtol = 1e-5 if dtype == "float32" else 1e-9  # the oracle's powers of Hermite cancel
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * np.abs(want).max())


def test_polynomials_are_written_as_json_lists() -> None:
    net = nk.serial(nk.Dense(), nk.Polynomial([0.1, 0.5]), nk.Dense())
    assert net.to_dict()["layers"][1] == {"type": "Polynomial", "coef": [0.1, 0.5]}
    assert nk.from_dict(net.to_dict()) == nk.from_text(repr(net)) == net


def test_critical_w_std_where_it_is_defined_and_the_reason_where_not() -> None:
    assert nk.RectifiedMonomial(1).critical_W_std == nk.Relu().critical_W_std
    assert nk.Monomial(1).critical_W_std == nk.Hermite(1).critical_W_std == 1
    assert nk.Polynomial([0, 2, 5]).critical_W_std == 0.5
    assert nk.Hermite(3).critical_W_std == pytest.approx((2 / 3) ** 0.5)
    for phi in (nk.Monomial(2), nk.Polynomial([1, 0, 1]), nk.Hermite(4), nk.RectifiedMonomial(2)):
        with pytest.raises(ValueError, match="slope is 0 at 0 and unbounded"):
            _ = phi.critical_W_std
    for jump in (nk.Sign(), nk.RectifiedMonomial(0)):
        with pytest.raises(ValueError, match="jumps"):
            _ = jump.critical_W_std
    for constant in (nk.Monomial(0), nk.Hermite(0), nk.Polynomial([3])):
        with pytest.raises(ValueError, match="constant"):
            _ = constant.critical_W_std


@every_dtype
@smooth
def test_float32_and_float64_agree_on_every_entry(layer: A.Layer, dtype: str) -> None:
    """Twenty thousand pairs at all angles, against the other width or the transposed call."""
    x = np.random.default_rng(1).standard_normal((150, 12))
    x = (x / np.sqrt((x * x).mean(1, keepdims=True))).astype(np.float32)
    net = nk.from_dict(A.mlp(1, layer, 0.9, 0.1))
    want = net.kernels(x.astype(np.float64))
    got = net.kernels(x.astype(dtype), x.astype(dtype))
    tolerance = TOLERANCE[np.dtype(dtype)] * max(1.0, net.conditioning(x))
    for a, b in zip(got, want, strict=True):
        assert_close(a, b, np.sqrt(np.outer(np.diag(b), np.diag(b))), tolerance)
