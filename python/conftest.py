"""Examples that need PyTorch are skipped where it is not installed."""

from importlib.util import find_spec

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the doctests that import it."""
    if find_spec("torch") is not None:
        return
    skip = pytest.mark.skip(reason="PyTorch is not installed")
    for item in items:
        if isinstance(item, pytest.DoctestItem) and any(
            "import torch" in example.source for example in item.dtest.examples
        ):
            item.add_marker(skip)
