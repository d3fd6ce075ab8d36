"""Conditions on fields, such as `len(answer) < 20 and label != "cat"`: read by Python's parser, evaluated by ours.

Only what is listed here is understood: no attributes, no calls but of the functions below, no comprehensions.
Arithmetic is for numbers alone, for `"a" * 10**9` is a condition, too.
"""

from __future__ import annotations

import ast
import difflib
import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..errors import UsageError

Getter: TypeAlias = Callable[[Any], Any]
"""Gives a value of what a condition is asked about."""

_LONGEST = 4000
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, other: one in other,
    ast.NotIn: lambda one, other: one not in other,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text was expected, got {_kind(value)}")
    return value


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "endswith": lambda text, end: _text(text).endswith(_text(end)),
    "len": len,
    "lower": lambda text: _text(text).lower(),
    "max": max,
    "min": min,
    "startswith": lambda text, start: _text(text).startswith(_text(start)),
    "strip": lambda text: _text(text).strip(),
    "words": lambda text: len(_text(text).split()),
}
"""What a condition may call."""


class Condition:
    """A condition that was read and found to be one.

    Args:
        text: the expression.
        fields: the names it may use, and what gives their values.

    Raises:
        UsageError: it is not an expression, or one that says more than is understood.
    """

    def __init__(self, text: str, fields: Mapping[str, Getter]) -> None:
        self.text = text
        self._fields = fields
        if len(text) > _LONGEST:
            raise self._refused(f"longer than {_LONGEST} characters")
        try:
            tree = ast.parse(text.strip(), mode="eval")
            self._holds = self._compiled(tree.body)
        except SyntaxError as error:
            raise self._refused(f"not an expression: {error.msg}") from error
        except (ValueError, MemoryError, RecursionError) as error:
            raise self._refused("nested too deep, or not text") from error

    def holds(self, subject: Any, name: str) -> bool:
        """Tell whether it holds.

        Args:
            subject: what the fields' getters are given.
            name: the record's, for messages.

        Raises:
            UsageError: it cannot be evaluated, such as `None < 3`.
        """
        try:
            return bool(self._holds(subject))
        except (TypeError, ZeroDivisionError, OverflowError, ValueError) as error:
            raise UsageError(
                f"--where {self.text!r}: cannot be evaluated for the record {name!r} ({error}); a field that a record "
                "lacks is None: ask for `label is not None and ...` first"
            ) from error

    def _compiled(self, node: ast.expr) -> Getter:
        if isinstance(node, ast.Constant):
            return self._constant(node.value)
        if isinstance(node, ast.Name):
            return self._field(node.id)
        if isinstance(node, ast.BoolOp):
            return _joined(node.op, [self._compiled(each) for each in node.values])
        if isinstance(node, ast.UnaryOp):
            return self._unary(node)
        if isinstance(node, ast.BinOp):
            return self._binary(node)
        if isinstance(node, ast.Compare):
            return self._compared(node)
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            parts = [self._compiled(each) for each in node.elts]
            return lambda subject: [part(subject) for part in parts]
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        raise self._refused(f"`{ast.unparse(node)[:60]}` is not understood here")

    def _constant(self, value: Any) -> Getter:
        if not isinstance(value, (str, int, float, bool, type(None))):
            raise self._refused(f"{value!r} is neither a text nor a number")
        return lambda subject: value

    def _field(self, name: str) -> Getter:
        if name not in self._fields:
            near = difflib.get_close_matches(name, self._fields, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(self._fields))}"
            raise self._refused(f"no field {name!r}; {hint}")
        return self._fields[name]

    def _unary(self, node: ast.UnaryOp) -> Getter:
        value = self._compiled(node.operand)
        if isinstance(node.op, ast.Not):
            return lambda subject: not value(subject)
        if isinstance(node.op, ast.USub):
            return lambda subject: -_number(value(subject))
        raise self._refused(f"`{ast.unparse(node)[:60]}` is not understood here")

    def _binary(self, node: ast.BinOp) -> Getter:
        operation = _ARITHMETIC.get(type(node.op))
        if operation is None:
            raise self._refused(f"`{ast.unparse(node)[:60]}`: there are + - * / // %")
        left, right, apply = self._compiled(node.left), self._compiled(node.right), operation
        return lambda subject: apply(_number(left(subject)), _number(right(subject)))

    def _compared(self, node: ast.Compare) -> Getter:
        values = [self._compiled(each) for each in (node.left, *node.comparators)]
        steps = list(zip([_COMPARISONS[type(each)] for each in node.ops], values[1:], strict=True))
        first = values[0]

        def compared(subject: Any) -> bool:
            left = first(subject)
            for comparison, value in steps:
                right = value(subject)
                if not comparison(left, right):
                    return False
                left = right
            return True

        return compared

    def _subscript(self, node: ast.Subscript) -> Getter:
        if isinstance(node.slice, ast.Slice):
            raise self._refused(f"`{ast.unparse(node)[:60]}`: slices are not understood here")
        value, key = self._compiled(node.value), self._compiled(node.slice)
        return lambda subject: _item(value(subject), key(subject))

    def _call(self, node: ast.Call) -> Getter:
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)[:60]
        function = FUNCTIONS.get(name)
        if function is None or node.keywords or any(isinstance(each, ast.Starred) for each in node.args):
            raise self._refused(f"`{name}(...)` is not understood here; there are: {', '.join(FUNCTIONS)}")
        call, arguments = function, [self._compiled(each) for each in node.args]
        return lambda subject: call(*[argument(subject) for argument in arguments])

    def _refused(self, reason: str) -> UsageError:
        shown = self.text if len(self.text) <= 80 else f"{self.text[:80]}..."
        return UsageError(f"--where {shown!r}: {reason}")


def _joined(operation: ast.boolop, values: list[Getter]) -> Getter:
    if isinstance(operation, ast.And):
        return lambda subject: all(value(subject) for value in values)
    return lambda subject: any(value(subject) for value in values)


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"a number was expected, got {_kind(value)}")
    return value


def _item(value: Any, key: Any) -> Any:
    """Return what lies under a key, or at a place; None where nothing does."""
    try:
        return value[key]
    except (KeyError, IndexError):
        return None


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "None"}
    return names.get(type(value), "a number")
