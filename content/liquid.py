"""Personal text by Liquid (https://shopify.github.io/liquid), with limits. Pure.

A template is what an operator writes and a person's data fills in, so neither may cost much: tags and filters are an
allow-list, ranges are refused (`(1..100000000)` runs for seconds), loops, output and filters have budgets. What is
unknown is an error when the template is made, not an empty place in a message.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache, wraps
from typing import Any

from liquid import Environment
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.context import RenderContext
from liquid.exceptions import LiquidError
from liquid.template import BoundTemplate

SOURCE_CHARS, HTML_CHARS = 20_000, 150_000
OUTPUT_BYTES, HTML_BYTES = 100_000, 250_000
_LOOPS = 500  # iterations in one rendering, nested ones multiplied
_FILTER_CHARS = 20_000  # what goes into a filter, and what comes out
_FILTER_BUDGET = 10_000  # filters run in one rendering, a thousand characters counted as one more
_LARGEST = 10**15
_RENDER_SECONDS = 0.05  # looked at by every filter; loops without filters end by their count
_NESTED = 8  # [ within [
_PLACES = 2000  # {{ and {% in one template
_OPENS = re.compile(r"\{\{|\{%-?\s{0,100}(?P<name>\w{1,20})?")
_BLANK = re.compile(r"\s{40}")

TAGS = frozenset({"if", "unless", "case", "for", "break", "continue", "assign", "capture", "comment", "echo", "#"})
_INNER = frozenset({"content", "output", "illegal"})  # what the parser itself needs
FILTERS = frozenset({
    "abs", "append", "at_least", "at_most", "capitalize", "ceil", "date", "default", "divided_by", "downcase", "escape",
    "first", "floor", "join", "last", "lstrip", "minus", "modulo", "newline_to_br", "plus", "prepend", "remove",
    "remove_first", "replace", "replace_first", "reverse", "round", "rstrip", "size", "slice", "sort", "split", "strip",
    "strip_newlines", "times", "truncate", "truncatewords", "uniq", "upcase", "url_encode",
})  # fmt: skip
VARIABLES = ("first_name", "last_name", "locale", "attributes", "tags", "preferences", "channel", "links")
LINKS = ("unsubscribe", "preferences")


class BadTemplate(ValueError):
    """A template that cannot be used, or cannot be filled in; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template that has been checked. `uses` names the variables it takes, `preferences` the questions it asks."""

    source: str
    uses: frozenset[str]
    preferences: frozenset[str]
    _bound: BoundTemplate | None  # None: plain text

    @property
    def is_plain(self) -> bool:
        """It says the same to everyone."""
        return self._bound is None

    def render(self, values: Mapping[str, object]) -> str:
        """The text for one person; `values` holds what `uses` names. Raises BadTemplate."""
        if self._bound is None:
            return self.source
        token = _spent.set(_Spent(time.thread_time() + _RENDER_SECONDS))
        try:
            return str(self._bound.render(**values))
        except BadTemplate:
            raise
        except LiquidError as error:
            raise BadTemplate(_words(error)) from None
        except Exception as error:  # whatever a filter raises on odd values: one person's, and nobody else's trouble
            raise BadTemplate(f"it cannot be filled in ({type(error).__name__})") from None
        finally:
            _spent.reset(token)


@lru_cache(maxsize=512)
def compiled(source: str) -> Template:
    """A checked template; raises BadTemplate."""
    return _compiled(source, _ENVIRONMENT, SOURCE_CHARS)


@lru_cache(maxsize=32)
def compiled_html(source: str) -> Template:
    """The same for HTML: what is filled in is text, and escaped."""
    return _compiled(source, _HTML_ENVIRONMENT, HTML_CHARS)


def _compiled(source: str, environment: Environment, most_chars: int) -> Template:
    if len(source) > most_chars:
        raise BadTemplate(f"it is longer than {most_chars:,} characters")
    if "{{" not in source and "{%" not in source:
        return Template(source, frozenset(), frozenset(), None)
    if _nesting(source) > _NESTED:
        raise BadTemplate("it is nested too deeply")
    _must_be_closed(source)
    try:
        bound = environment.from_string(source)
        analysis = bound.analyze(include_partials=False)
    except LiquidError as error:
        raise BadTemplate(_words(error)) from None
    except RecursionError:
        raise BadTemplate("it is nested too deeply") from None
    _refuse_ranges(bound)
    if unknown := sorted(set(analysis.filters) - FILTERS):
        raise BadTemplate(f"there is no filter {unknown[0]!r}; known are {', '.join(sorted(FILTERS))}")
    preferences: set[str] = set()
    for variables in analysis.globals.values():
        for variable in variables:
            _check_path(variable.segments, preferences)
    return Template(source, frozenset(analysis.globals), frozenset(preferences), bound)


def _nesting(source: str) -> int:
    """How deep square brackets stand in one another; to read many takes the square of their number."""
    depth = deepest = 0
    for char in source:
        depth += (char == "[") - (char == "]")
        deepest = max(deepest, depth)
    return deepest


def _must_be_closed(source: str) -> None:
    """Raise BadTemplate for what the library would read again and again: the square of 20,000 braces is 15 seconds."""
    at = count = 0
    while (found := _OPENS.search(source, at)) is not None:
        if found["name"] in ("raw", "doc"):
            raise BadTemplate(f"there is no tag {found['name']!r}")
        closing = "}}" if found[0].startswith("{{") else "%}"
        end = source.find(closing, found.start() + 2)
        if end < 0:
            raise BadTemplate(f"expected {closing!r}, found end of file")
        if _BLANK.search(source, found.start(), end):
            raise BadTemplate(f"between {found[0][:2]} and {closing} is too much blank space")
        if closing == "}}" and not source[found.start() + 2 : end].strip(" \t\r\n-"):
            raise BadTemplate("there is nothing between {{ and }}")
        at, count = end + 2, count + 1
    if count > _PLACES:
        raise BadTemplate(f"it has more than {_PLACES:,} places to fill in")


def _check_path(segments: list[Any], preferences: set[str]) -> None:
    root = segments[0]
    if root not in VARIABLES:
        raise BadTemplate(f"there is no {root!r}; known are {', '.join(VARIABLES)}")
    if root == "preferences":
        if len(segments) != 2 or not isinstance(segments[1], str):
            raise BadTemplate("name the preference: preferences['Drama']")
        preferences.add(segments[1])
    if root == "links" and (len(segments) != 2 or segments[1] not in LINKS):
        raise BadTemplate(f"links has {', '.join(LINKS)}: {{{{ links.unsubscribe }}}}")


def _refuse_ranges(bound: BoundTemplate) -> None:
    def look(expression: Any) -> None:
        if isinstance(expression, RangeLiteral):
            raise BadTemplate("ranges such as (1..5) are not to be had")
        for child in expression.children():
            look(child)

    context = RenderContext(bound)

    def walk(node: Any) -> None:
        for expression in node.expressions():
            look(expression)
        for child in node.children(context, include_partials=False):
            walk(child)

    for node in bound.nodes:
        walk(node)


def _words(error: LiquidError) -> str:
    """What Liquid says, with the line where it knows it."""
    line = getattr(error, "lineno", lambda: None)()
    where = f" (line {line})" if isinstance(line, int) else ""
    return f"{error.args[0] if error.args else type(error).__name__}{where}"


# --- filters with a budget --------------------------------------------------------------------


@dataclass(slots=True)
class _Spent:
    """What one rendering has cost."""

    until: float  # by the time that this thread has run: while it waits for another it spends nothing
    count: int = 0


_spent: ContextVar[_Spent] = ContextVar("spent")


def _spend(*values: object) -> None:
    spent = _spent.get(None)
    if spent is None:
        return
    size = 0
    for value in values:
        if isinstance(value, str):
            if len(value) > _FILTER_CHARS:
                raise BadTemplate(f"a filter got or made more than {_FILTER_CHARS:,} characters")
            size += len(value)
        elif isinstance(value, (list, tuple)):
            size += sum(len(item) if isinstance(item, str) else 1 for item in value)
        elif isinstance(value, (int, float)) and abs(value) > _LARGEST:
            raise BadTemplate("a number is too large")
    spent.count += 1 + size // 1000
    if spent.count > _FILTER_BUDGET or time.thread_time() > spent.until:
        raise BadTemplate("it runs too many filters, or too slow ones")


def _within(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, for arguments and results of a sensible size."""

    @wraps(function)
    def guarded(value: object, *args: Any, **kwargs: Any) -> Any:
        _spend(value, *args)
        result = function(value, *args, **kwargs)
        _spend(result)
        return result

    return guarded


def _replace(value: object, old: object, new: object = "") -> str:
    """Every occurrence replaced, where the result has a sensible size: it is a product of what goes in."""
    text, seek, put = (_text(v) for v in (value, old, new))
    if (text.count(seek) if seek else len(text) + 1) * len(put) > _FILTER_CHARS:
        raise BadTemplate(f"`replace` would make more than {_FILTER_CHARS:,} characters")
    return text.replace(seek, put)


def _join(value: object, between: object = " ") -> str:
    items = [_text(item) for item in value] if isinstance(value, (list, tuple)) else [_text(value)]
    glue = _text(between)
    if sum(map(len, items)) + len(glue) * len(items) > _FILTER_CHARS:
        raise BadTemplate(f"`join` would make more than {_FILTER_CHARS:,} characters")
    return glue.join(items)


def _uniq(value: object) -> object:
    """Each item once, told apart by its text: the library compares every item with every other."""
    if not isinstance(value, (list, tuple)):
        return value
    first: dict[str, object] = {}
    for item in value:
        first.setdefault(_text(item), item)
    return list(first.values())


_FORMAT = re.compile(r"(?:[^%]|%[-_0^#]?[A-Za-z%])*")


def _date(value: object, form: object = "%Y-%m-%d") -> object:
    """A date or time as text, by strftime's directives; what is no ISO 8601 date stays as it is."""
    text = _text(form)
    if len(text) > 100 or not _FORMAT.fullmatch(text):
        raise BadTemplate("`date` wants a format such as '%d %B %Y'")
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    return value.strftime(text) if isinstance(value, (date, datetime)) else value


def _text(value: object) -> str:
    if value is None or type(value).__name__ == "Undefined":
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _environment(output_bytes: int, *, escapes: bool) -> Environment:
    class Limited(Environment):
        loop_iteration_limit = _LOOPS
        local_namespace_limit = output_bytes
        output_stream_limit = output_bytes
        block_nesting_limit = 20
        context_depth_limit = 10

    made = Limited(autoescape=escapes)
    made.tags = {name: tag for name, tag in made.tags.items() if name in TAGS | _INNER}
    own: dict[str, Callable[..., Any]] = {"replace": _replace, "join": _join, "date": _date, "uniq": _uniq}
    made.filters = {
        name: _within(own.get(name, function)) for name, function in made.filters.items() if name in FILTERS
    }
    return made


_ENVIRONMENT = _environment(OUTPUT_BYTES, escapes=False)
_HTML_ENVIRONMENT = _environment(HTML_BYTES, escapes=True)
