"""Every applicable file of tests/reference is reproduced to 1e-12 in float64."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ntkfast as nk
from oracle import highprec
from oracle.compare import assert_close
from oracle.reference import CASES, FOLDER, jumps, load


def test_no_applicable_case_is_lost() -> None:
    assert len(CASES) >= 41


@pytest.mark.parametrize("name", CASES)
def test_float64_reproduces_the_reference(name: str) -> None:
    """60-digit values where the file has them.

    Elsewhere its own, except on the diagonal of an NTK, where files lose half of their digits at a
    kink (see tests/reference/README.md), and of the NNGP kernel behind a jump: there the truth is
    computed anew.
    """
    case = load(name)
    net = nk.from_dict(case.arch)
    for part in case.parts:
        got = net.kernels(part.x, part.z)
        true = highprec.truth(case.arch, part.x, part.z)
        nngp, ntk = part.nngp.copy(), part.ntk.copy()
        if part.z is None and not part.exact:
            np.fill_diagonal(ntk, np.diag(true.ntk))
            if jumps(case.arch):
                np.fill_diagonal(nngp, np.diag(true.nngp))
        assert_close(got.nngp, nngp, true.nngp_scale, 1e-12, f"{name} nngp")
        assert_close(got.ntk, ntk, true.ntk_scale, 1e-12, f"{name} ntk")


@pytest.mark.parametrize("name", CASES)
def test_diagonal_reproduces_the_reference(name: str) -> None:
    case = load(name)
    net = nk.from_dict(case.arch)
    x = case.parts[0].x
    nngp, ntk = highprec.diag(case.arch, x)
    assert_close(net.diag(x, kind="nngp"), nngp, nngp, 1e-12, f"{name} nngp")
    assert_close(net.diag(x, kind="ntk"), ntk, ntk, 1e-12, f"{name} ntk")


@pytest.mark.parametrize("name", CASES)
def test_architecture_survives_the_round_trip(name: str) -> None:
    net = nk.from_dict(load(name).arch)
    again = nk.from_dict(json.loads(json.dumps(net.to_dict())))
    assert again == net
    assert hash(again) == hash(net)


@pytest.mark.parametrize("name", ["att_softmax_linear", "att_identity_sqrt"])
def test_unsupported_layers_of_the_format_are_refused_by_name(name: str) -> None:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        arch = json.loads(str(file["arch"]))
    with pytest.raises(nk.errors.ArchitectureError):
        nk.from_dict(arch)
