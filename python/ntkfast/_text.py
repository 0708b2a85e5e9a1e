"""Networks as text: what ``repr`` prints, read without running it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from ._validate import got, known
from .errors import ArchitectureError
from .layers import LAYERS, Layer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .network import Network

__all__ = ["from_text", "one_line", "to_text"]

_LINE_LENGTH = 88
_FUNCTIONS = ("serial", "parallel", "repeat")


def to_text(layers: tuple[Layer, ...]) -> str:
    """Return Python code that makes the network; one layer per line where one line is too long."""
    line = one_line(layers)
    if len(line) <= _LINE_LENGTH:
        return line
    return "serial(\n" + "".join(f"    {layer!r},\n" for layer in layers) + ")"


def one_line(layers: tuple[Layer, ...]) -> str:
    """Return the same in one line, for messages."""
    return f"serial({', '.join(map(repr, layers))})"


def from_text(text: str) -> Network:
    """Return the network that a text describes: what ``repr(net)`` prints, or the like by hand.

    The text is read, never run: it holds names of layers and of the functions ``serial``,
    ``parallel`` and ``repeat``, and their arguments as plain Python literals, nothing else.

    Parameters
    ----------
    text : str
        Such as ``"serial(Dense(W_std=1.5), Relu(), Dense())"``; line breaks and comments as in
        Python. A single layer is a network, too.

    Returns
    -------
    Network

    Raises
    ------
    TypeError
        If text is not a string.
    ArchitectureError
        If it is not as described, or the sequence has no kernel. The message says the place.

    Examples
    --------
    >>> import ntkfast as nk
    >>> net = nk.mlp(2, nk.LeakyRelu(0.1), b_std=0.5)
    >>> nk.from_text(repr(net)) == net
    True
    >>> nk.from_text("serial(Dense(), Rellu())")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ntkfast.errors.ArchitectureError: line 1, column 17: unknown layer 'Rellu'; ...
    """
    from ._composition import serial
    from .network import Network

    if not isinstance(text, str):
        raise TypeError(f"text must be a string, {got(text)}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        found = _Reader(text.strip()).read(tree)
    except SyntaxError as error:
        raise ArchitectureError(
            f"line {error.lineno or 1}, column {error.offset or 1}: {error.msg}"
        ) from error
    except (RecursionError, MemoryError) as error:
        raise ArchitectureError("the text is nested too deeply") from error
    except ValueError as error:
        if isinstance(error, ArchitectureError):
            raise
        raise ArchitectureError(f"the text cannot be read: {error}") from error  # a null byte
    if isinstance(found, Network):
        return found
    if isinstance(found, Layer):
        return serial(found)
    raise ArchitectureError(f"line 1, column 1: expected a network, {got(found)}")


class _Reader:
    """From syntax tree to values."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()

    def read(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Call):
            return self.call(node)
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, (ast.List, ast.Tuple)):
            values = [self.read(each) for each in node.elts]
            return values if isinstance(node, ast.List) else tuple(values)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            value = self.read(node.operand)
            if type(value) in (int, float):
                return -value if isinstance(node.op, ast.USub) else value
        code = ast.unparse(node)
        hint = f": write {code}(...)" if code in LAYERS else ""
        raise self.error(node, f"expected a layer or a plain literal, got {code[:60]!r}{hint}")

    def call(self, node: ast.Call) -> Any:
        make = self.maker(node.func)
        arguments = [self.read(each) for each in node.args]
        named = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self.error(keyword.value, "** is not read: write the arguments out")
            named[keyword.arg] = self.read(keyword.value)
        try:
            return make(*arguments, **named)
        except (TypeError, ValueError) as error:
            raise self.error(node, str(error)) from error

    def maker(self, node: ast.expr) -> Callable[..., Any]:
        import ntkfast

        name = node.id if isinstance(node, ast.Name) else ast.unparse(node)[:60]
        if name in _FUNCTIONS:
            return getattr(ntkfast, name)  # type: ignore[no-any-return]
        if name in LAYERS:
            return LAYERS[name]
        names = f"{', '.join(_FUNCTIONS)}, {known(LAYERS)}"
        raise self.error(node, f"unknown layer {name!r}; this version knows {names}")

    def error(self, node: ast.expr, message: str) -> ArchitectureError:
        # The parser counts bytes, people count characters.
        line = self.lines[node.lineno - 1].encode()[: node.col_offset].decode(errors="replace")
        return ArchitectureError(f"line {node.lineno}, column {len(line) + 1}: {message}")
