"""Templates: text to a tree."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

MAX_SOURCE = 64 * 1024


class TemplateError(Exception):
    """A template cannot be read or executed; `str()` says why."""


class Text(msgspec.Struct, frozen=True):
    """What is copied as it is."""

    text: str


class Field(msgspec.Struct, frozen=True):
    """`.a.b`, `$x.a` (base is a variable name) or `(…).a` (base is a node)."""

    base: Any
    names: tuple[str, ...]


class Literal(msgspec.Struct, frozen=True):
    """A constant."""

    value: Any


class Call(msgspec.Struct, frozen=True):
    """A command: a function name or a lone operand, with arguments."""

    name: str
    args: tuple[Any, ...]


class Pipe(msgspec.Struct, frozen=True):
    """Commands joined by `|`; `variables` are declared or assigned from the result."""

    commands: tuple[Any, ...]
    variables: tuple[str, ...] = ()
    declare: bool = True


class Action(msgspec.Struct, frozen=True):
    """A pipeline whose result is printed."""

    pipe: Pipe


class Branch(msgspec.Struct, frozen=True):
    """`if`, `with` or `range`."""

    kind: str
    pipe: Pipe
    body: tuple[Any, ...]
    other: tuple[Any, ...]


class Include(msgspec.Struct, frozen=True):
    """`template` or `block`: another template by its name."""

    name: str
    pipe: Pipe | None


class Jump(msgspec.Struct, frozen=True):
    """`break` or `continue`."""

    kind: str


_TOKEN = re.compile(
    r"""\s+|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<raw>`[^`]*`)|(?P<char>'(?:[^'\\]|\\.)+')"""
    r"""|(?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+))"""
    r"""|(?P<var>\$\w*)|(?P<field>(?:\.[^\W\d]\w*)+)|(?P<dot>\.)|(?P<name>[^\W\d]\w*)"""
    r"""|(?P<op>:=|[=|(),])""",
)
_ACTION = re.compile(
    r"\{\{(-(?=\s))?(\s*/\*.*?\*/\s*|(?:\"(?:[^\"\\\n]|\\.)*\"|`[^`]*`|.)*?)((?<=\s)-)?\}\}", re.S
)
_BLOCKS = {"if", "with", "range"}

Tree = tuple[Any, ...]
Token = tuple[str, str, bool]


def parse(source: str, defines: dict[str, Tree] | None = None) -> Tree:
    """The tree of `source`; `{{ define }}` blocks are added to `defines`."""
    if len(source) > MAX_SOURCE:
        raise TemplateError(f"template is longer than {MAX_SOURCE} characters")
    if "{{" not in source:
        return (Text(source),)
    return _Parser(_split(source), {} if defines is None else defines).top()


def _split(source: str) -> list[str | list[Token]]:
    """Alternating text and the tokens of an action, trimmed as `{{-` and `-}}` say."""
    out: list[str | list[Token]] = []
    at, trim = 0, False
    for found in _ACTION.finditer(source):
        text = source[at : found.start()]
        if trim:
            text = text.lstrip()
        if found[1]:
            text = text.rstrip()
        if text:
            out.append(text)
        body = found[2]
        if not body.strip().startswith("/*"):
            out.append(_tokens(body))
        at, trim = found.end(), bool(found[3])
    rest = source[at:].lstrip() if trim else source[at:]
    if "{{" in rest:
        raise TemplateError("unclosed action")
    if rest:
        out.append(rest)
    return out


def _tokens(body: str) -> list[Token]:
    out: list[Token] = []
    at, spaced = 0, True
    while at < len(body):
        found = _TOKEN.match(body, at)
        if found is None:
            raise TemplateError(f"unexpected {body[at : at + 10]!r} in {{{{{body[:60]}}}}}")
        if found.lastgroup is None:
            spaced = True
        else:
            out.append((found.lastgroup, found[0], spaced))
            spaced = False
        at = found.end()
    if not out:
        raise TemplateError("missing value for command")
    return out


class _Parser:
    """Recursive descent over the split source."""

    def __init__(self, parts: list[str | list[Token]], defines: dict[str, Tree]) -> None:
        self._parts = parts
        self._at = 0
        self._defines = defines
        self._depth = 0
        self._tokens: list[Token] = []
        self._next = 0

    def top(self) -> Tree:
        body, end = self._nodes()
        if end:
            raise TemplateError(f"unexpected {{{{{end}}}}}")
        return body

    def _nodes(self) -> tuple[Tree, str]:
        """Nodes up to `end` or `else` (or the end of the source); which of them ended the list."""
        self._depth += 1
        if self._depth > 40:
            raise TemplateError("blocks are nested too deeply")
        out: list[Any] = []
        end = ""
        while self._at < len(self._parts):
            part = self._parts[self._at]
            self._at += 1
            if isinstance(part, str):
                out.append(Text(part))
                continue
            word = part[0][1] if part[0][0] == "name" else ""
            if word in {"end", "else"}:
                self._tokens, self._next = part, 1
                end = word
                break
            self._tokens, self._next = part, 0
            node = self._action(word)
            if node is not None:
                out.append(node)
        self._depth -= 1
        return tuple(out), end

    def _action(self, word: str) -> Any:
        if word in _BLOCKS:
            self._next = 1
            return self._block(word)
        if word in {"define", "block"}:
            self._next = 1
            name = self._name()
            pipe = self._pipe() if word == "block" else None
            body, end = self._nodes()
            if end != "end":
                raise TemplateError(f"{{{{{word} {name!r}}}}} has no end")
            self._defines.setdefault(name, body) if word == "block" else self._defines.update({name: body})
            return Include(name, pipe) if word == "block" else None
        if word == "template":
            self._next = 1
            name = self._name()
            return Include(name, self._pipe() if self._peek() else None)
        if word in {"break", "continue"} and len(self._tokens) == 1:
            return Jump(word)
        pipe = self._pipe()
        self._finish()
        return Action(pipe)

    def _block(self, kind: str) -> Branch:
        pipe = self._pipe()
        self._finish()
        body, end = self._nodes()
        other: Tree = ()
        if end == "else":
            following = self._peek()
            if following and following[1] in {"if", "with"}:
                self._next += 1
                other = (self._block(following[1]),)
                return Branch(kind, pipe, body, other)
            other, end = self._nodes()
        if end != "end":
            raise TemplateError(f"{{{{{kind}}}}} has no end")
        return Branch(kind, pipe, body, other)

    def _peek(self, ahead: int = 0) -> Token | None:
        at = self._next + ahead
        return self._tokens[at] if at < len(self._tokens) else None

    def _name(self) -> str:
        token = self._peek()
        if token is None or token[0] not in {"string", "raw"}:
            raise TemplateError("a template needs a quoted name")
        self._next += 1
        return str(_literal(token))

    def _finish(self) -> None:
        left = self._peek()
        if left is not None:
            raise TemplateError(f"unexpected {left[1]!r}")

    def _pipe(self) -> Pipe:
        variables: list[str] = []
        declare = True
        token = self._peek()
        if token and token[0] == "var":
            second = self._peek(1)
            if second and second[1] in {":=", "="}:
                variables, declare = [token[1]], second[1] == ":="
                self._next += 2
            elif second and second[1] == ",":
                third, fourth = self._peek(2), self._peek(3)
                if not third or third[0] != "var" or not fourth or fourth[1] not in {":=", "="}:
                    raise TemplateError("expected a second variable")
                variables, declare = [token[1], third[1]], fourth[1] == ":="
                self._next += 4
        commands = [self._command()]
        while (token := self._peek()) and token[1] == "|" and token[0] == "op":
            self._next += 1
            commands.append(self._command())
        return Pipe(tuple(commands), tuple(variables), declare)

    def _command(self) -> Any:
        operands: list[Any] = []
        while (token := self._peek()) and not (token[0] == "op" and token[1] in {"|", ")"}):
            operands.append(self._operand(token))
        if not operands:
            raise TemplateError("missing value for command")
        first = operands[0]
        if isinstance(first, Call) and not first.args and first.name:
            return Call(first.name, tuple(operands[1:]))
        if len(operands) > 1 and not isinstance(first, Field):
            raise TemplateError("can't give argument to non-function")
        return Call("", tuple(operands))

    def _operand(self, token: Token) -> Any:
        self._next += 1
        kind, text, _ = token
        node: Any
        if kind in {"string", "raw", "number", "char"}:
            node = Literal(_literal(token))
        elif kind == "var":
            node = Field(text, ())
        elif kind == "field":
            return Field(None, tuple(text[1:].split(".")))
        elif kind == "dot":
            node = Field(None, ())
        elif kind == "name":
            if text in {"true", "false", "nil"}:
                return Literal({"true": True, "false": False, "nil": None}[text])
            return Call(text, ())
        elif text == "(":
            self._depth += 1
            if self._depth > 40:
                raise TemplateError("parentheses are nested too deeply")
            node = self._pipe()
            closing = self._peek()
            if closing is None or closing[1] != ")":
                raise TemplateError("unclosed left paren")
            self._next += 1
            self._depth -= 1
        else:
            raise TemplateError(f"unexpected {text!r} in operand")
        after = self._peek()
        if after and after[0] == "field" and not after[2]:
            self._next += 1
            names = tuple(after[1][1:].split("."))
            return Field(node.base if isinstance(node, Field) else node, names)
        return node


def _literal(token: Token) -> Any:
    kind, text, _ = token
    if kind == "raw":
        return text[1:-1]
    if kind == "number":
        try:
            return int(text, 0)
        except ValueError:
            return float(text)
    try:
        value = json.loads(text) if kind == "string" else text[1:-1].encode().decode("unicode_escape")
    except ValueError:
        value = text[1:-1].encode("latin-1", "backslashreplace").decode("unicode_escape")
    return ord(value) if kind == "char" and len(value) == 1 else value
