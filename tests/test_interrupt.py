"""Ctrl-C stops a long Gram within a second and leaves the process usable.

A requirement on responsiveness, not a benchmark: the same bound holds on any machine.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, threading, time
import numpy as np
import ntkfast as nk

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts without
rng = np.random.default_rng(0)
small = rng.standard_normal((50, 4))
x = rng.standard_normal(({n}, {d})).astype("{dtype}")
long = nk.mlp({depth}, nk.Erf(), W_std=1.5, b_std=0.1)
before = long.ntk(small).tobytes()

sent = []
def interrupt():
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

for _ in range(2):  # the second time shows that the first left nothing behind
    sent.clear()
    threading.Timer(0.4, interrupt).start()
    try:
        long.kernels(x{call})
    except KeyboardInterrupt:
        print("stopped after", time.monotonic() - sent[0])
    else:
        print("finished")
assert long.ntk(small).tobytes() == before
print("usable")
"""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param({"n": 6000, "d": 20, "depth": 400, "dtype": "float64"}, id="many-tiles"),
        pytest.param({"n": 3000, "d": 20, "depth": 1500, "dtype": "float64"}, id="deep-tiles"),
        pytest.param(
            {"n": 6000, "d": 20, "depth": 400, "dtype": "float32", "call": ", threads=1"},
            id="one-thread",
        ),
        pytest.param(
            {"n": 6000, "d": 20, "depth": 400, "dtype": "float32", "call": ", x[:5000]"}, id="cross"
        ),
    ],
)
def test_interrupt_stops_a_long_gram_within_a_second(case: dict[str, object]) -> None:
    program = PROGRAM.format(**{"call": "", **case})
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    *stops, last = run.stdout.splitlines()
    assert last == "usable"
    assert len(stops) == 2
    for stop in stops:
        assert stop.startswith("stopped after"), "the Gram ended by itself: make it longer"
        assert float(stop.split()[-1]) <= 1.0
