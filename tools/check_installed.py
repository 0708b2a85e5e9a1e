"""Check an installed ntkfast: a small Gram matrix against the same formula in NumPy."""

from __future__ import annotations

import numpy as np

import ntkfast as nk
import ntkfast.cuda


def relu_kernels(q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return NNGP and NTK of Dense, ReLU, Dense: Cho and Saul (2009), Jacot et al. (2018)."""
    norms = np.sqrt(np.diag(q))
    scale = np.outer(norms, norms)
    angle = np.arccos(np.clip(q / scale, -1, 1))
    nngp = scale * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
    return nngp, nngp + q * (np.pi - angle) / (2 * np.pi)


def main() -> None:
    """Raise unless the installed package computes the right kernels."""
    x = np.random.default_rng(0).standard_normal((5, 3))
    network = nk.serial(nk.Dense(), nk.Relu(), nk.Dense())
    found = network.kernels(x)
    nngp, ntk = relu_kernels(x @ x.T / x.shape[1])
    # arccos near 1 loses half the digits of the plain formula on the diagonal.
    np.testing.assert_allclose(found.nngp, nngp, rtol=1e-7)
    np.testing.assert_allclose(found.ntk, ntk, rtol=1e-7)
    print(f"ntkfast {nk.__version__} from {nk.__file__}: kernels agree with the formula")
    print(f"CUDA: {ntkfast.cuda.reason() or 'available'}")


if __name__ == "__main__":
    main()
