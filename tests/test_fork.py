"""Kernels work in forked children, in pools of processes, and from several Python threads at once.

Each case is a process of its own with a time limit, since what it would catch is a hang.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

if not hasattr(__import__("os"), "fork"):
    pytest.skip("this platform has no fork()", allow_module_level=True)

HEADER = """
import os, sys, warnings
import numpy as np
import ntkfast as nk

warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
rng = np.random.default_rng(0)
x = rng.standard_normal((700, 40)).astype(np.float32)
net = nk.mlp(3, nk.Relu(), b_std=0.1)

def gram(i=0):
    return net.ntk(x, threads=4).tobytes()
"""

FORK = """
want = gram()
for generation in range(3):
    child = os.fork()
    if child == 0:
        same = gram() == want
        grandchild = os.fork()  # and a child of the child
        if grandchild == 0:
            os._exit(0 if gram() == want else 1)
        _, status = os.waitpid(grandchild, 0)
        os._exit(0 if same and status == 0 else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    assert gram() == want  # the parent goes on
"""

FORK_WHILE_COMPUTING = """
import threading
want = gram()
done = threading.Event()
def busy():
    while not done.is_set():
        assert gram() == want
thread = threading.Thread(target=busy)
thread.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        os._exit(0 if gram() == want else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
done.set()
thread.join()
"""

POOL = """
import multiprocessing
want = gram()
with multiprocessing.get_context("fork").Pool(3) as pool:
    assert all(answer == want for answer in pool.map(gram, range(9)))
"""

THREADS = """
from concurrent.futures import ThreadPoolExecutor
want = gram()
with ThreadPoolExecutor(8) as pool:
    assert all(answer == want for answer in pool.map(gram, range(40)))
"""


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(FORK, id="fork-after-a-gram"),
        pytest.param(FORK_WHILE_COMPUTING, id="fork-during-a-gram"),
        pytest.param(POOL, id="multiprocessing-fork-pool"),
        pytest.param(THREADS, id="python-threads"),
    ],
)
def test_kernels_are_safe_in(body: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", HEADER + body],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
