"""Networks as JSON: a round trip is exact, and what cannot be read is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ntkfast as nk
from ntkfast.errors import ArchitectureError
from ntkfast.layers import LAYERS

NETWORKS = [
    nk.serial(nk.Dense()),
    nk.serial(nk.Dense(2**0.5, 0.1, 64), nk.LeakyRelu(0.1), nk.Dense(0.3, 0.0, trainable=False)),
    nk.serial(nk.Dense(), nk.Erf(1 / 3, 0.7, -0.2), nk.Dense(), nk.ABRelu(-0.3, 1.2)),
    nk.serial(nk.Identity(), nk.Dense(), nk.Abs(), nk.Dense(), nk.Relu()),
    nk.models.arora(2),
    nk.mlp(3, "erf", b_std=1e-300, fixed_layers=2),
    nk.serial(
        nk.Dense(1.3, 0.0, 9, parameterization="standard", s=(1, 4)),
        nk.FanOut(3),
        nk.parallel(
            [nk.LayerNorm(eps=0.1), nk.Relu(), nk.Dense(out_dim=36)],
            nk.Dense(out_dim=36),
            nk.Identity(),
        ),
        nk.FanInSum(),
        nk.FanOut(2),
        nk.parallel(
            nk.Relu(),
            [
                nk.FanOut(2),
                nk.parallel(nk.Dense(out_dim=36), nk.Dropout(0.3)),
                nk.FanInProd(),
                nk.Dense(),
            ],
        ),
        nk.FanInConcat(),
        nk.Dropout(0.7, "test"),
    ),
]
REFERENCE = sorted((Path(__file__).parent / "reference").glob("*.npz"))


def one(layer: dict[str, Any]) -> dict[str, Any]:
    return {"type": "serial", "layers": [{"type": "Dense"}, layer]}


@pytest.mark.parametrize("net", NETWORKS, ids=repr)
def test_a_round_trip_through_json_text_is_exact(net: nk.Network) -> None:
    d = net.to_dict()
    assert nk.from_dict(d) == net
    assert nk.from_dict(json.loads(json.dumps(d, allow_nan=False))) == net


def test_trainable_is_written_only_where_it_is_false() -> None:
    d = nk.serial(nk.Dense(), nk.Dense(trainable=False)).to_dict()
    assert d == {
        "type": "serial",
        "layers": [
            {"type": "Dense", "W_std": 1.0, "b_std": None, "out_dim": 1, "parameterization": "ntk"},
            {
                "type": "Dense",
                "W_std": 1.0,
                "b_std": None,
                "out_dim": 1,
                "trainable": False,
                "parameterization": "ntk",
            },
        ],
    }


def test_what_is_left_out_takes_its_default() -> None:
    layers = [{"type": name} for name in ("Dense", "Relu", "Dense", "LeakyRelu", "Dense", "Erf")]
    assert nk.from_dict({"type": "serial", "layers": layers}) == nk.serial(
        nk.Dense(), nk.Relu(), nk.Dense(), nk.LeakyRelu(0.01), nk.Dense(), nk.Erf(1, 1, 0)
    )


def test_nested_serials_and_a_single_layer_are_read() -> None:
    inner = {"type": "serial", "layers": [{"type": "Dense"}, {"type": "Relu"}]}
    d = {"type": "serial", "layers": [inner, inner, {"type": "Dense"}]}
    assert nk.from_dict(d) == nk.mlp(2, W_std=1.0)
    assert nk.from_dict({"type": "Dense", "b_std": 1}) == nk.serial(nk.Dense(b_std=1.0))


def test_reading_leaves_the_dictionary_alone() -> None:
    d = nk.mlp(2, b_std=0.1).to_dict()
    before = json.dumps(d)
    nk.from_dict(d)
    assert json.dumps(d) == before


def test_the_scale_of_the_standard_parameterization_is_ignored_in_the_other() -> None:
    assert nk.from_dict({"type": "Dense", "s": [1, 4]}) == nk.serial(nk.Dense())


@pytest.mark.parametrize(
    ("d", "error", "message"),
    [
        (one({"type": "Pool"}), ArchitectureError, "layer 2 of .*not yet supported layer 'Pool'"),
        (
            one({"type": "relu"}),
            ArchitectureError,
            "'relu'; this version knows serial, parallel, ABRelu",
        ),
        (one({"type": ["Relu"]}), ArchitectureError, "supported layer"),
        (one({"type": None}), ArchitectureError, 'no "type" key'),
        (one({"alpha": 1}), ArchitectureError, 'no "type" key'),
        (one({"type": "Dense", "W_sd": 1}), ArchitectureError, "argument W_sd; known are b_std, o"),
        (one({"type": "Relu", "alpha": 1}), ArchitectureError, "alpha; it takes none"),
        (one({"type": "Dense", "parameterization": "mup"}), ArchitectureError, "'standard', got"),
        (one({"type": "ABRelu", "a": 1}), ArchitectureError, r"\(ABRelu\).*missing.*'b'"),
        (one({"type": "Dense", "W_std": "1"}), ArchitectureError, r"layer 2 .*\(Dense\).*W_std"),
        (one({"type": "Dense", "b_std": float("nan")}), ArchitectureError, "b_std.*finite"),
        (one({"type": "Dense", "out_dim": 1.5}), ArchitectureError, "out_dim"),
        (one({"type": "serial"}), ArchitectureError, '"layers" must be a list, got None'),
        (one({"type": "serial", "layers": {}}), ArchitectureError, '"layers" must be a list'),
        ({"type": "serial", "layers": []}, ArchitectureError, "at least one layer"),
        ({"type": "serial", "layers": [], "x": 1}, ArchitectureError, "argument x; the only"),
        (one({"type": "parallel", "layers": []}), ArchitectureError, "layer 2 .*one branch"),
        (one({"type": "parallel"}), ArchitectureError, r'\(parallel\): "layers" must be a list'),
        (
            one({"type": "parallel", "layers": [{"type": "Relu"}, {"type": "Pool"}]}),
            ArchitectureError,
            "^branch 2 of layer 2 of the network.*'Pool'",
        ),
        (
            one({"type": "parallel", "layers": [{"type": "serial", "layers": []}]}),
            ArchitectureError,
            "layer 2 of the network: .*without layers",
        ),
        (one({"type": "FanInConcat", "axis": 0}), ArchitectureError, "axis of the channels"),
        ({"type": "Relu"}, ArchitectureError, r"layer 1 of 1, Relu\(\)"),
        ({}, ArchitectureError, 'no "type" key'),
        (one("Relu"), TypeError, "layer 2 of the network must be a mapping"),  # type: ignore[arg-type]
        ('{"type": "Dense"}', TypeError, "json.loads first"),
        (None, TypeError, "must be a mapping"),
        ([], TypeError, "must be a mapping"),
    ],
)
def test_what_cannot_be_read_is_named(d: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        nk.from_dict(d)


def test_no_layer_of_the_package_can_be_reached_but_by_its_name() -> None:
    for name in ("Layer", "Activation", "_TwoSlopes", "__class__", "Network", "LAYERS"):
        assert name not in LAYERS
        with pytest.raises(ArchitectureError, match="not yet supported layer"):
            nk.from_dict({"type": name})


def flat(arch: dict[str, Any]) -> list[dict[str, Any]]:
    return [arch, *(inner for layer in arch.get("layers", []) for inner in flat(layer))]


def leaves(arch: dict[str, Any]) -> list[dict[str, Any]]:
    return [layer for layer in flat(arch) if "layers" not in layer]


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.stem)
def test_a_reference_architecture_is_read_exactly_or_refused_by_name(path: Path) -> None:
    with np.load(path, allow_pickle=False) as data:
        if "arch" not in data:
            pytest.skip("this file tests a solver and holds no architecture")
        arch = json.loads(str(data["arch"]))
    layers = flat(arch)
    # The last is read as the layer of its fn.
    known = {*LAYERS, "serial", "parallel", "ElementwiseNumerical"}
    unknown = [a["type"] for a in layers if a["type"] not in known]
    if unknown:
        with pytest.raises(ArchitectureError, match="not yet supported layer"):
            nk.from_dict(arch)
        return
    net = nk.from_dict(arch)
    assert nk.from_dict(net.to_dict()) == net
    pairs = zip(leaves(net.to_dict()), leaves(arch), strict=True)
    for written, original in pairs:
        if original["type"] == "ElementwiseNumerical":
            assert written == {"type": original["fn"].capitalize()}
            continue
        given = {key: value for key, value in original.items() if key != "s"}
        assert given.items() <= written.items()
        if original.get("parameterization") == "standard":
            assert written["s"] == original.get("s", [1, 1])
