"""The answer does not depend on how it is computed: threads, instruction set, layout, tiling."""

from __future__ import annotations

import numpy as np
import pytest

import ntkfast as nk
from oracle.compare import TOLERANCE, assert_close
from support import ACTIVATIONS, Array, assert_true, awkward_rows, network

every_activation = pytest.mark.parametrize("name", ACTIVATIONS)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])

#: Around multiples of the powers of two that tiles and vector registers come in.
SIZES = [1, 2, 3, 15, 16, 17, 63, 64, 65, 127, 129, 255, 256, 257, 300, 513]


def _mixed(n: int, d: int, dtype: str, seed: int = 0) -> Array:
    """Normal rows, correlated rows and awkward ones, spread over all tiles."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    x[::3] = x[0] + 10.0 ** rng.uniform(-9, 0, (len(x[::3]), 1)) * x[::3]
    x = x.astype(dtype)
    x[1::7] = awkward_rows(dtype, d)[np.arange(len(x[1::7])) % 9]
    return x


def _scales(kernel: Array, other: Array | None = None) -> Array:
    return np.sqrt(np.outer(kernel, kernel if other is None else other).astype(np.float64))


@every_dtype
@pytest.mark.parametrize("name", ["Relu", "Abs", "Erf_affine"])
def test_every_number_of_threads_gives_the_same_bits(name: str, dtype: str) -> None:
    net = nk.from_dict(network(name, 3, 0.1))
    x, z = _mixed(1100, 37, dtype), _mixed(530, 37, dtype, seed=1)
    for other in (None, z):
        one = net.kernels(x, other, threads=1)
        for threads in (2, 3, 5):
            many = net.kernels(x, other, threads=threads)
            assert many.nngp.tobytes() == one.nngp.tobytes()
            assert many.ntk.tobytes() == one.ntk.tobytes()


@every_dtype
def test_repeating_a_computation_gives_the_same_bits(dtype: str) -> None:
    net = nk.from_dict(network("Relu", 3, 0.1))
    x = _mixed(700, 20, dtype)
    assert net.ntk(x).tobytes() == net.ntk(x).tobytes()


@pytest.mark.parametrize("isa", nk._core.isa_available())
@every_dtype
@every_activation
def test_every_instruction_set_holds_the_tolerance(name: str, dtype: str, isa: str) -> None:
    with nk.config(isa=isa):
        for depth in (1, 20):
            assert_true(network(name, depth, 0.1), awkward_rows(dtype), what=f"{isa} {depth}")
            assert_true(network(name, depth, None), awkward_rows(dtype, 1), what=f"{isa} {depth}")


@every_dtype
@pytest.mark.parametrize("name", ["Relu", "Erf"])
def test_instruction_sets_agree_on_every_entry(name: str, dtype: str) -> None:
    net = nk.from_dict(network(name, 3, 0.1))
    x = _mixed(300, 50, dtype)
    diagonals = net.diag(x, kind="both")
    for isa in nk._core.isa_available():
        with nk.config(isa=isa):
            got = net.kernels(x)
        reference = net.kernels(x)
        for a, b, diagonal in zip(got, reference, diagonals, strict=True):
            # each is within the tolerance of the truth
            assert_close(a, b, _scales(diagonal), 2 * TOLERANCE[x.dtype], isa)


@every_dtype
@pytest.mark.parametrize("name", ["Relu", "Abs", "Erf"])
def test_a_gram_of_any_size_is_a_part_of_a_larger_one(name: str, dtype: str) -> None:
    """Tiles begin and end elsewhere: equal within the tolerance, diagonal and symmetry exact."""
    net = nk.from_dict(network(name, 3, 0.1))
    x = _mixed(max(SIZES), 11, dtype)
    whole = net.kernels(x)
    diagonals = net.diag(x, kind="both")
    for n in SIZES:
        part = net.kernels(x[:n])
        for a, b, diagonal in zip(part, whole, diagonals, strict=True):
            assert a.shape == (n, n)
            np.testing.assert_array_equal(a, a.T)
            np.testing.assert_array_equal(np.diag(a), diagonal[:n])
            assert_close(a, b[:n, :n], _scales(diagonal[:n]), 2 * TOLERANCE[x.dtype], f"{n}")


@every_dtype
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 300), (300, 1), (2, 65), (257, 63), (64, 256)])
def test_a_cross_kernel_is_the_transpose_of_the_other(n: int, m: int, dtype: str) -> None:
    net = nk.from_dict(network("ABRelu", 3, 0.1))
    x, z = _mixed(n, 11, dtype), _mixed(m, 11, dtype, seed=2)
    dx, dz = net.diag(x, kind="both"), net.diag(z, kind="both")
    for a, b, p, q in zip(net.kernels(x, z), net.kernels(z, x), dx, dz, strict=True):
        assert a.shape == (n, m)
        assert_close(a, b.T, _scales(p, q), 2 * TOLERANCE[x.dtype])


@every_dtype
@pytest.mark.parametrize("d", [1, 2, 3, 7, 31, 783, 2049, 5000])
def test_any_number_of_columns(d: int, dtype: str) -> None:
    """Blocks of columns end anywhere; the truth sums them exactly."""
    x = np.concatenate([_mixed(4, d, dtype), awkward_rows(dtype, d)[:5]])
    assert_true(network("Relu", 5, None), x)


@every_dtype
def test_layout_of_the_input_does_not_change_a_bit(dtype: str) -> None:
    x = _mixed(90, 12, dtype)
    net = nk.from_dict(network("Relu", 2, 0.1))
    want = net.ntk(x, x[:7]).tobytes()
    wide = np.zeros((180, 24), dtype)
    wide[::2, ::2] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    for view in (np.asfortranarray(x), wide[::2, ::2], read_only, x[::-1][::-1]):
        assert net.ntk(view, x[:7]).tobytes() == want
        assert net.ntk(x, view[:7]).tobytes() == want
    np.testing.assert_array_equal(wide[::2, ::2], x)


@every_dtype
def test_inputs_are_not_written_to(dtype: str) -> None:
    x, z = _mixed(130, 12, dtype), _mixed(70, 12, dtype, seed=1)
    kept = x.copy(), z.copy()
    net = nk.from_dict(network("Erf", 2, 0.1))
    net.kernels(x)
    net.kernels(x, z)
    net.diag(x)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(z, kept[1])


@every_activation
def test_columns_of_zeros_scale_the_kernel_as_the_number_of_columns_does(name: str) -> None:
    """K = x.x'/d: twice as many columns, half of them 0, and W_std sqrt(2) times as large."""
    x = awkward_rows("float64", d=8)
    wide = np.zeros((len(x), 16))
    wide[:, ::2] = x
    arch = network(name, 3, 0.1)
    arch_wide = network(name, 3, 0.1)
    arch_wide["layers"][0]["W_std"] *= 2**0.5
    got, want = nk.from_dict(arch_wide).nngp(wide), nk.from_dict(arch).nngp(x)
    assert_close(got, want, _scales(np.diag(want)), 1e-12)
