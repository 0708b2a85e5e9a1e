"""The checks of scalar arguments, and the errors as exceptions that callers already catch."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest

from ntkfast import errors
from ntkfast._validate import choice, finite_number, flag, got, known, whole_number


def test_a_message_names_the_argument_what_was_expected_and_what_was_got() -> None:
    with pytest.raises(ValueError, match=r"^alpha must be a finite number >= 0, got -1 \(int\)$"):
        finite_number("alpha", -1, minimum=0)
    with pytest.raises(TypeError, match=r"^alpha must be a finite number, got 'x' \(str\)$"):
        finite_number("alpha", "x")
    with pytest.raises(ValueError, match=r"^n must be an integer >= 1, got 0 \(int\)$"):
        whole_number("n", 0, minimum=1)
    with pytest.raises(TypeError, match=r"^n must be an integer >= 1, got 1.0 \(float\)$"):
        whole_number("n", 1.0, minimum=1)
    with pytest.raises(ValueError, match=r"^kind must be one of 'a', 'b', got 'c' \(str\)$"):
        choice("kind", "c", ("a", "b"))
    with pytest.raises(TypeError, match=r"^b must be True or False, got 1 \(int\)$"):
        flag("b", 1)


def test_a_refused_value_is_shown_on_one_short_line() -> None:
    text = got(np.zeros((100, 100)))
    assert "\n" not in text
    assert len(text) < 90
    assert text.endswith("(ndarray)")


def test_numbers_of_numpy_are_numbers() -> None:
    assert type(finite_number("x", np.float32(1.5))) is float
    assert type(whole_number("n", np.int8(3), minimum=1)) is int
    assert flag("b", np.True_) is True
    assert known(["b", "A", "c"]) == "A, b, c"


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (errors.ArchitectureError, (ValueError,)),
        (errors.DeviceError, (RuntimeError,)),
        (errors.KernelOverflowError, (OverflowError, ValueError)),
        (errors.MemoryBudgetError, (MemoryError,)),
        (errors.SingularKernelError, (np.linalg.LinAlgError, ValueError)),
    ],
)
def test_an_error_is_also_the_built_in_one_and_pickles(
    error: type[Exception], bases: tuple[type[Exception], ...]
) -> None:
    assert all(issubclass(error, base) for base in bases)
    copy = pickle.loads(pickle.dumps(error("why")))  # it crosses a process pool
    assert type(copy) is error
    assert str(copy) == "why"


def test_every_error_is_documented_and_listed() -> None:
    defined = {name for name, _ in inspect.getmembers(errors, inspect.isclass)}
    assert defined == set(errors.__all__)
    assert all(getattr(errors, name).__doc__ for name in defined)
