"""Networks as text and as a table: a round trip is exact, and nothing in a text is run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ntkfast as nk
from ntkfast._summary import LayerSummary, Summary
from ntkfast.errors import ArchitectureError, KernelOverflowError
from support import ACTIVATIONS, network

NETWORKS = [
    nk.serial(nk.Dense()),
    nk.serial(nk.Dense(2**0.5, 0.1, 64), nk.LeakyRelu(-0.1), nk.Dense(0.3, 0.0, trainable=False)),
    nk.models.arora(7),
    nk.mlp(30, "erf", b_std=1e-300, fixed_layers=2),
    nk.serial(
        nk.Dense(1.2, 0.1),
        *[
            nk.FanOut(2),
            nk.parallel([nk.Relu(), nk.Dense(0.3, 0.0, trainable=False)], nk.Identity()),
            nk.FanInSum(),
        ]
        * 2,
        nk.LayerNorm(),
        nk.Erf(),
        nk.Dropout(0.9),
        nk.Dense(parameterization="standard", s=(2, 1)),
    ),
    *(nk.from_dict(network(name, 2, 0.1)) for name in sorted(ACTIVATIONS)),
]

# --- text --------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", NETWORKS, ids=lambda net: repr(net)[:40])
def test_text_comes_back_as_the_same_network(net: nk.Network) -> None:
    assert nk.from_text(repr(net)) == net
    assert nk.from_text(str(net)) == net
    assert eval(repr(net), vars(nk)) == net
    assert nk.from_text(repr(net).replace("\n", " ")) == net


numbers = st.floats(allow_nan=False, allow_infinity=False)
sizes = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
hidden = st.one_of(
    st.builds(nk.LeakyRelu, numbers),
    st.builds(nk.ABRelu, numbers, numbers),
    st.builds(nk.Erf, numbers, numbers, numbers),
    st.just(nk.Abs()),
)
dense = st.builds(nk.Dense, sizes, st.none() | sizes, st.integers(1, 9), trainable=st.booleans())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(dense, hidden), min_size=1, max_size=4))
def test_text_of_any_network_comes_back(blocks: list[Any]) -> None:
    net = nk.serial(*(layer for block in blocks for layer in block))
    assert nk.from_text(repr(net)) == net == nk.from_dict(net.to_dict())


def test_a_long_network_prints_one_layer_per_line() -> None:
    lines = repr(nk.mlp(3, "relu", b_std=0.5)).splitlines()
    assert lines[0] == "serial("
    assert lines[1] == "    Dense(W_std=1.4142135623730951, b_std=0.5),"
    assert lines[-1] == ")"
    assert len(lines) == 9
    assert repr(nk.mlp(1)) == "serial(Dense(W_std=1.4142135623730951), Relu(), Dense())"


def test_text_may_be_written_by_hand() -> None:
    assert nk.from_text(" Dense() ") == nk.serial(nk.Dense())
    text = """
        serial(  # a comment
            Dense('sqrt_dim'), Relu(),
            serial(Dense(-0.0, +1), LeakyRelu(alpha=-.5)),
        )
    """
    assert nk.from_text(text) == nk.serial(
        nk.Dense("sqrt_dim"), nk.Relu(), nk.Dense(0.0, 1.0), nk.LeakyRelu(-0.5)
    )


def test_blocks_may_be_repeated_and_branches_nested() -> None:
    block = nk.repeat([nk.Dense(1.5), nk.Relu()], 3)
    assert nk.from_text("serial(repeat([Dense(1.5), Relu()], 3), Dense())") == nk.serial(
        block, nk.Dense()
    )
    inner = nk.parallel(nk.Dense(), [nk.Dense(2), nk.Abs()])
    outer = nk.parallel([nk.Dense(), nk.FanOut(2), inner, nk.FanInSum()], nk.Dense())
    net = nk.serial(nk.FanOut(2), outer, nk.FanInConcat())
    assert nk.from_text(repr(net)) == net


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column"),
        ("serial(Dense(), Relu(", "line 1, column 2[012]: '\\(' was never closed"),
        ("serial(Dense(), Rellu())", "line 1, column 17: unknown layer 'Rellu'; .* Relu"),
        ("serial(Dense(),\n  Relu)", r"line 2, column 3: expected a layer .*'Relu': write Relu\("),
        ("serial(Dense(1e999))", r"line 1, column 8: Dense\(W_std=...\) must be .* got inf"),
        ("serial(Dense(W=2))", "line 1, column 8: .*unexpected keyword argument 'W'"),
        ("serial(Dense(), Relu(), Abs())", "line 1, column 1: layer 3 of 3, Abs.*Gaussian"),
        ("serial(Relu())", "line 1, column 1: layer 1 of 1"),
        ("serial(Dense(**{'W_std': 2}))", r"line 1, column 16: \*\*"),
        ("serial(*[Dense()])", "line 1, column 8: expected a layer"),
        ("serial(FanOut(2), parallel([Dense()], Abs), FanInSum())", "line 1, column 39: .*Abs"),
        ("repeat(Dense(), 0)", "line 1, column 1: times must be"),
        ("serial(FanOut(2))", "line 1, column 1: .*values"),
        ("serial()", "line 1, column 1: .*at least one layer"),
        ("'Dense()'", "expected a network, got 'Dense"),
        ("3", "expected a network, got 3"),
        (
            "Dense(2**0.5)",
            r"line 1, column 7: expected a layer or a plain literal, got '2 \*\* 0.5",
        ),
        ("Dense(math.pi)", "line 1, column 7: .*got 'math.pi'"),
        ("Dense(W_std=f'{1}')", "line 1, column 13: expected"),
        ("Dense(1j)", "line 1, column 1: .*finite number"),
        ("Dense(not 1)", "line 1, column 7: expected"),
        ("Dense(--'a')", "line 1, column 8: expected"),
        ("Dense(); Dense()", "line 1, column 8"),
        ("x = Dense()", "line 1, column"),
        ("Dense()\0", "null byte"),
        ("Dense()()", "unknown layer 'Dense\\(\\)'"),
        ("nk.Dense()", "unknown layer 'nk.Dense'"),
        ("Layer()", "unknown layer 'Layer'"),
        ("mlp(3)", "unknown layer 'mlp'"),
        ("serial('ä', Rellu())", "line 1, column 13: unknown layer 'Rellu'"),
        ("(" * 5000 + ")" * 5000, "nested|line 1"),
        ("-" * 20000 + "1", "nested|line 1"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ArchitectureError, match=f"(?s){message}"):
        nk.from_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('false')",
        "serial(Dense(), (lambda: Relu())())",
        "Dense.__init__()",
        "[Dense() for _ in range(3)]",
        "Dense(W_std=(x := 3))",
        "eval('Dense()')",
        "Dense(__class__)",
        "getattr(Dense, 'x')",
        "Elementwise(print)",
    ],
)
def test_nothing_is_run(text: str) -> None:
    with pytest.raises(ArchitectureError):
        nk.from_text(text)


def test_text_is_a_string() -> None:
    for bad in (None, 3, b"Dense()", nk.mlp(1)):
        with pytest.raises(TypeError, match="text must be a string"):
            nk.from_text(bad)  # type: ignore[arg-type]


# --- the table ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_the_summary_is_made_of_kernels(name: str) -> None:
    net = nk.from_dict(network(name, 3, 0.2))
    q = 0.7
    table = net.summary(q)
    assert len(table) == len(list(table)) == len(net.layers)
    for i, row in enumerate(table, start=1):
        assert row.number == i
        assert row.layer == net.layers[i - 1]
        both = nk.serial(*net.layers[:i]).diag([[math.sqrt(q)]], "both")
        assert (row.q, row.ntk) == (both.nngp[0], both.ntk[0])
        after_dense = isinstance(row.layer, nk.Dense)
        linear = isinstance(row.layer, nk.Identity)
        assert row.state == ("Gaussian" if after_dense or linear else "not Gaussian")
        if after_dense:
            assert row.gain == pytest.approx(row.layer.W_std**2, rel=1e-12)
            assert row.chi is None


def test_chi_is_that_of_signal_propagation() -> None:
    W, b = 1.7, 0.3
    point = nk.phase.fixed_point("erf", W, b)
    net = nk.mlp(4, "erf", W_std=W, b_std=b)
    at = (point.q - b**2) / W**2
    for row in net.summary(at):
        if row.chi is not None:
            assert row.chi == pytest.approx(point.chi_1, rel=1e-9)
        if isinstance(row.layer, nk.Dense) and row.number < 8:
            assert row.q == pytest.approx(point.q, rel=1e-9)


def test_the_summary_counts_every_gain_once() -> None:
    net = nk.serial(
        nk.Dense("sqrt_dim"), nk.Dense(2.0, trainable=False), nk.Relu(), nk.Identity(), nk.Dense(3)
    )
    first, second, relu, identity, last = net.summary()
    assert [row.gain for row in net.summary()] == pytest.approx([1, 4, 0.5, 1, 9])
    assert relu.chi == pytest.approx(2)
    assert first.chi is second.chi is identity.chi is last.chi is None
    assert (first.ntk, second.ntk) == pytest.approx((1, 4))  # the second is fixed


def test_branches_have_a_row_each_until_they_are_joined() -> None:
    W, b = 1.1, 0.2
    branch = [nk.Relu(), nk.Dense(W, b)]
    net = nk.serial(
        nk.Dense(1.5), nk.FanOut(2), nk.parallel(branch, nk.Identity()), nk.FanInSum(), nk.Dense()
    )
    first, fan_out, parallel, fan_in, last = net.summary(2.0)
    assert fan_out.state == parallel.state == "branches"
    assert fan_out.q is fan_out.chi is parallel.ntk is parallel.gain is None
    assert fan_in.q == pytest.approx(first.q + W**2 * first.q / 2 + b**2)
    assert fan_in.gain == pytest.approx(1 + W**2 / 2)
    assert fan_in.chi == pytest.approx(1.5**2 * fan_in.gain)
    assert (last.state, last.gain) == ("Gaussian", pytest.approx(1))
    assert len(str(net.summary()).splitlines()) == 7


def test_an_input_of_no_size() -> None:
    table = nk.mlp(2, b_std=0.5).summary(0.0)
    assert table[0].q == 0.25
    assert all(math.isnan(row.gain) for row in table if row.gain is not None)
    assert nk.serial(nk.Dense()).summary(0)[0].q == 0


def test_the_table_prints() -> None:
    table = nk.mlp(2, "relu", b_std=0.5).summary(4)
    assert isinstance(table, Summary)
    lines = str(table).splitlines()
    assert repr(table) == str(table)
    assert len(lines) == 2 + 5
    assert lines[0].split() == ["layer", "q", "chi", "ntk", "state"]
    assert lines[3].split() == ["2", "Relu()", "4.125", "1", "4.125", "not", "Gaussian"]
    assert len({line.index("Gaussian") - 4 * ("not" in line) for line in lines[2:]}) == 1
    assert isinstance(table[1], LayerSummary)
    assert table[-1].layer == nk.Dense(b_std=0.5)


def test_wrong_sizes_are_refused() -> None:
    for bad in (-1, math.nan, math.inf, "1", None):
        with pytest.raises((TypeError, ValueError), match="q must be"):
            nk.mlp(1).summary(bad)  # type: ignore[arg-type]
    with pytest.raises(KernelOverflowError, match="overflows"):
        nk.serial(nk.Dense(1e100), nk.Dense(1e100)).summary()


def test_a_deep_network_has_a_summary() -> None:
    table = nk.mlp(60).summary(2.0)
    np.testing.assert_allclose([row.q for row in table][::2], [4.0] * 60 + [2.0])
