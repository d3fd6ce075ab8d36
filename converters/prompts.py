"""The user's text: a Jinja template over the raw row, or one of several, drawn by seed and record id."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..schema.errors import ItemError, UsageError

T = TypeVar("T")


class Prompts:
    """Templates of the user's text.

    They are Jinja in its sandbox: a template from elsewhere reads the row's values, and reaches nothing besides.

    Args:
        templates: Jinja templates such as `{{ question }} Answer briefly.`; one is drawn for each record.
        seed: seeds the draw.
        names: what templates may name; whatever a row has where None.

    Raises:
        UsageError: there is no template, one does not parse, or one names something else.
    """

    def __init__(self, templates: Sequence[str], seed: int = 0, names: Collection[str] | None = None) -> None:
        made = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, finalize=_printable)
        self._seed = seed
        self._templates: list[tuple[Template, set[str]]] = []
        for text in templates:
            try:
                named = find_undeclared_variables(made.parse(text))
                self._templates.append((made.from_string(text), named))
            except TemplateSyntaxError as error:
                raise UsageError(
                    f"the prompt {text!r} is not a Jinja template ({error.message}); names are written {{{{ name }}}}"
                ) from error
            if names is not None and (unknown := sorted(named.difference(names))):
                has = ", ".join(names) or "no names"
                raise UsageError(f"the prompt {text!r} names {unknown[0]!r}; this source has: {has}")
        if not self._templates:
            raise UsageError("no prompt; give at least one template, such as --prompt '{{ question }}'")

    def render(self, record_id: str, values: Mapping[str, Any]) -> str:
        """Return the user's text of a record, whose id decides, with the seed, which template is used.

        Raises:
            ItemError: the template names something that is not there, cannot be worked out, or gives an empty text.
        """
        template, named = draw(self._templates, self._seed, "prompt", record_id)
        try:
            text = template.render(values)
        except _NotAText as error:
            fields = sorted(name for name in named if isinstance(values.get(name), (list, dict)))
            raise ItemError(f"the template prints {', '.join(fields)}: {error}") from error
        # What an expression of a template can raise over values of the wrong kind.
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise ItemError(f"the prompt cannot be made ({error}); the row has: {', '.join(values)}") from error
        if not text.strip():
            raise ItemError("the prompt is empty; every turn asks something")
        return text


def draw(choices: Sequence[T], seed: int, *names: str) -> T:
    """Draw one of several evenly: a pure function of the seed and the names, on every machine and in any order.

    The names say what is drawn, and for whom, such as `"prompt", record_id`.
    """
    text = "\0".join((str(seed), *names))
    # The first 64 bits of a hash, by the number of choices: the bias is below one in 2**50 for any list there is.
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return choices[number % len(choices)]


class _NotAText(ValueError):
    """A value that would be shown as Python writes it; the message says which, and what to do."""


def _printable(value: Any) -> Any:
    # An empty cell would be asked about as "None".
    if value is None:
        raise ValueError("a value in it is empty; say what stands in its place: {{ name or '' }}")
    if isinstance(value, (list, tuple)):
        raise _NotAText(
            f"the list {str(value)[:60]}; name one of it, {{{{ name[0] }}}}, or join it: {{{{ name | join(', ') }}}}"
        )
    if isinstance(value, dict):
        raise _NotAText(f"an object with {', '.join(map(str, value))[:60]}; name a field of it, {{{{ name.field }}}}")
    return value
