"""Templates: executing a tree over data, with limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mamimon.alerts.templates.functions import FUNCTIONS, go_print, truth
from mamimon.alerts.templates.syntax import (
    Action,
    Branch,
    Call,
    Field,
    Include,
    Jump,
    Literal,
    Pipe,
    TemplateError,
    Text,
    Tree,
    parse,
)

MAX_OUTPUT = 64 * 1024
MAX_STEPS = 20_000
MAX_DEPTH = 40

__all__ = ["NeedQuery", "TemplateError", "render"]


class NeedQuery(Exception):  # noqa: N818 - not an error: the caller answers it and renders again
    """The template asks for the result of a query that it was not given."""

    def __init__(self, expr: str) -> None:
        super().__init__(expr)
        self.expr = expr


class _Break(Exception):  # noqa: N818 - control flow
    pass


class _Continue(Exception):  # noqa: N818 - control flow
    pass


def render(
    source: str,
    data: Any,
    variables: Mapping[str, Any] | None = None,
    *,
    functions: Mapping[str, Callable[..., Any]] | None = None,
    defines: Mapping[str, Tree] | None = None,
) -> str:
    """The text of `source` over `data`; raises `TemplateError`.

    `functions` are added to the built-in ones (`query` among them); `defines` are named templates.
    """
    if "{{" not in source:
        return source
    named: dict[str, Tree] = dict(defines or {})
    tree = parse(source, named)
    run = _Run({**FUNCTIONS, **(functions or {})}, named, data)
    run.scopes[0].update(variables or {})
    try:
        run.nodes(tree, data)
    except (_Break, _Continue):
        raise TemplateError("break or continue outside range") from None
    except RecursionError:
        raise TemplateError("template is nested too deeply") from None
    return "".join(run.out)


class _Run:
    """One execution: output, variables and what is left of the budget."""

    def __init__(
        self, functions: Mapping[str, Callable[..., Any]], defines: dict[str, Tree], data: Any
    ) -> None:
        self.functions = functions
        self.defines = defines
        self.scopes: list[dict[str, Any]] = [{"$": data}]
        self.out: list[str] = []
        self._size = 0
        self._steps = 0
        self._depth = 0

    def nodes(self, tree: Tree, dot: Any) -> None:
        for node in tree:
            self._step()
            if isinstance(node, Text):
                self._write(node.text)
            elif isinstance(node, Action):
                value = self._pipe(node.pipe, dot)
                if not node.pipe.variables:
                    self._write(go_print(value))
            elif isinstance(node, Branch):
                self._branch(node, dot)
            elif isinstance(node, Include):
                self._include(node, dot)
            elif isinstance(node, Jump):
                raise _Break if node.kind == "break" else _Continue

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise TemplateError(f"template takes more than {MAX_STEPS} steps")

    def _write(self, text: str) -> None:
        self._size += len(text)
        if self._size > MAX_OUTPUT:
            raise TemplateError(f"template writes more than {MAX_OUTPUT} characters")
        self.out.append(text)

    def _include(self, node: Include, dot: Any) -> None:
        tree = self.defines.get(node.name)
        if tree is None:
            raise TemplateError(f"template {node.name!r} not defined")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise TemplateError("templates include each other too deeply")
        value = None if node.pipe is None else self._pipe(node.pipe, dot)
        outer, self.scopes = self.scopes, [{"$": value}]
        self.nodes(tree, value)
        self.scopes = outer
        self._depth -= 1

    def _branch(self, node: Branch, dot: Any) -> None:
        self.scopes.append({})
        try:
            if node.kind == "range":
                self._range(node, dot)
                return
            value = self._pipe(node.pipe, dot)
            if truth(value):
                self.nodes(node.body, value if node.kind == "with" else dot)
            else:
                self.nodes(node.other, dot)
        finally:
            self.scopes.pop()

    def _range(self, node: Branch, dot: Any) -> None:
        value = self._pipe(Pipe(node.pipe.commands), dot)
        items = _items(value)
        for key, item in items:
            self._step()
            names = node.pipe.variables
            if len(names) == 1:
                self.scopes[-1][names[0]] = item
            elif names:
                self.scopes[-1][names[0]], self.scopes[-1][names[1]] = key, item
            self.scopes.append({})
            try:
                self.nodes(node.body, item)
            except _Break:
                break
            except _Continue:
                continue
            finally:
                self.scopes.pop()
        if not items:
            self.nodes(node.other, dot)

    def _pipe(self, pipe: Pipe, dot: Any) -> Any:
        value: Any = None
        for number, command in enumerate(pipe.commands):
            self._step()
            value = self._command(command, dot, () if number == 0 else (value,))
        for name in pipe.variables:
            self._assign(name, value, pipe.declare)
        return value

    def _assign(self, name: str, value: Any, declare: bool) -> None:
        if not declare:
            for scope in reversed(self.scopes):
                if name in scope:
                    scope[name] = value
                    return
            raise TemplateError(f"undefined variable {name}")
        self.scopes[-1][name] = value

    def _command(self, command: Call, dot: Any, piped: tuple[Any, ...]) -> Any:
        if command.name:
            return self._call(command.name, command.args, dot, piped)
        first, *rest = command.args
        value = self._operand(first, dot)
        arguments = [self._operand(one, dot) for one in rest] + list(piped)
        if callable(value):
            return self._apply("method", value, arguments)
        if arguments:
            raise TemplateError("can't give argument to non-function")
        return value

    def _call(self, name: str, args: Sequence[Any], dot: Any, piped: tuple[Any, ...]) -> Any:
        if name in {"and", "or"}:
            value: Any = None
            for one in (*args, *(Literal(item) for item in piped)):
                value = self._operand(one, dot)
                if truth(value) != (name == "and"):
                    return value
            return value
        function = self.functions.get(name)
        if function is None:
            raise TemplateError(f"function {name!r} not defined")
        return self._apply(name, function, [*(self._operand(one, dot) for one in args), *piped])

    def _apply(self, name: str, function: Callable[..., Any], arguments: list[Any]) -> Any:
        try:
            return function(*arguments)
        except (NeedQuery, TemplateError):
            raise
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise TemplateError(f"error calling {name}: {str(error)[:200]}") from None

    def _operand(self, node: Any, dot: Any) -> Any:
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, Call):
            return self._call(node.name, node.args, dot, ())
        if isinstance(node, Pipe):
            return self._pipe(node, dot)
        assert isinstance(node, Field)
        if node.base is None:
            value = dot
        elif isinstance(node.base, str):
            value = self._variable(node.base)
        else:
            value = self._operand(node.base, dot)
        for name in node.names:
            value = _field(value, name)
        return value

    def _variable(self, name: str) -> Any:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        raise TemplateError(f"undefined variable {name}")


def _field(value: Any, name: str) -> Any:
    """A key of a map (absent reads as empty) or a field that a data object offers by `go_field`."""
    offer = getattr(type(value), "go_field", None)
    if offer is not None:
        found = offer(value, name)
        return found() if getattr(found, "go_niladic", False) else found
    if isinstance(value, Mapping):
        return value.get(name, "")
    raise TemplateError(f"can't evaluate field {name}")


def _items(value: Any) -> list[tuple[Any, Any]]:
    if value is None:
        return []
    if isinstance(value, Mapping):
        return sorted(value.items())[:10_000]
    if isinstance(value, int) and not isinstance(value, bool):
        return [(i, i) for i in range(min(value, MAX_STEPS + 1))]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(enumerate(value))[:10_000]
    raise TemplateError("range can't iterate over this value")
