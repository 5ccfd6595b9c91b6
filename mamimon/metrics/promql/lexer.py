"""Tokens of PromQL, by the rules and with the error texts of Prometheus' own lexer.

What a letter means depends on where it stands: inside braces keywords are names, inside brackets only
durations are understood. So tokens are made one at a time, as the parser asks for them.
"""

from __future__ import annotations

import re

import msgspec

from mamimon.metrics.promql.ast import AGGREGATORS
from mamimon.metrics.promql.errors import Flaw
from mamimon.metrics.promql.text import quote, quote_rune

KEYWORDS = frozenset(
    (
        "offset", "smoothed", "anchored", "by", "without", "on", "ignoring", "group_left", "group_right",
        "fill", "fill_left", "fill_right", "bool",
    )
)  # fmt: skip
WORD_OPERATORS = frozenset(("and", "or", "unless", "atan2"))
PREPROCESSORS = frozenset(("start", "end", "step", "range", "max_of", "min_of"))
DURATION_WORDS = frozenset(("step", "range", "max_of", "min_of"))
OPERATORS = frozenset(
    ("-", "+", "*", "%", "/", "==", "!=", "<=", "<", ">=", ">", "</", ">/", "=~", "!~", "^", "@")
)
_WORD_KINDS = KEYWORDS | WORD_OPERATORS | PREPROCESSORS | AGGREGATORS
_SPACE = re.compile(r"[ \t\n\r]*")
_COMMENT = re.compile(r"#[^\r\n]*")
_IDENTIFIER = re.compile(r"[a-zA-Z0-9_]+")
_METRIC = re.compile(r"[a-zA-Z0-9_:]+")
_LETTERS = re.compile(r"[a-zA-Z_]+")
_PLAIN_STRING = {
    "'": re.compile(r"[^'\\\n\ud800-\udfff\ufffd]*"),
    '"': re.compile(r'[^"\\\n\ud800-\udfff\ufffd]*'),
}
_DURATION_REST = re.compile(r"[smhdwy]s?(?:[0-9]+[smhdw]s?)*")
_DURATION_TRY = re.compile(r"(?:[smhdwy]s?(?:[0-9]+(?:[smhdw]s?)?)*)?")
_DIGITS = "0123456789"
_LETTER = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_ALNUM = _LETTER | frozenset(_DIGITS)


class Token(msgspec.Struct, frozen=True):
    """`kind` is the symbol or keyword itself, or identifier, metric, number, duration, string, eof."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Just behind the last character."""
        return self.start + len(self.text)

    def describe(self) -> str:
        """As error messages name it."""
        if self.kind == "eof":
            return "end of input"
        shown = quote(self.text) if len(self.text) <= 10 else quote(self.text[:10]) + "..."
        if self.kind in ("identifier", "metric"):
            what = "identifier" if self.kind == "identifier" else "metric identifier"
            return f"{what} {quote(self.text)}"
        if self.kind in ("string", "number", "duration"):
            return f"{self.kind} {shown}"
        if self.kind in KEYWORDS:
            return f"<{self.text}>"
        if self.kind in OPERATORS or self.kind in WORD_OPERATORS:
            return f"<op:{self.text}>"
        if self.kind in AGGREGATORS:
            return f"<aggr:{self.text}>"
        return shown


class Lexer:
    """Reads one text from left to right; `next` gives the next token or raises `Flaw`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.parens = 0
        self.braces = False
        self.brackets = False
        self._duration = False  # directly inside [ ], before the first number
        self._colon = False
        self._number_seen = False

    def next(self) -> Token:
        """The next token, comments left out."""
        text = self.text
        while True:
            self.position = _SPACE.match(text, self.position).end()  # type: ignore[union-attr]
            if text.startswith("#", self.position) and not self._duration:
                self.position = _COMMENT.match(text, self.position).end()  # type: ignore[union-attr]
                continue
            break
        if self.braces:
            return self._inside_braces()
        if self._duration:
            return self._inside_brackets()
        return self._statement()

    def _flaw(self, text: str, start: int | None = None) -> Flaw:
        return Flaw(text, self.position if start is None else start, len(self.text))

    def _emit(self, kind: str, length: int) -> Token:
        token = Token(kind, self.text[self.position : self.position + length], self.position)
        self.position += length
        return token

    def _symbol(self, kind: str) -> Token:
        return self._emit(kind, len(kind))

    def _statement(self) -> Token:
        text, at = self.text, self.position
        if at >= len(text):
            if self.parens:
                raise self._flaw("unclosed left parenthesis")
            if self.brackets:
                raise self._flaw("unclosed left bracket")
            return Token("eof", "", at)
        character, pair = text[at], text[at : at + 2]
        if character in _LETTER or character == ":":
            return self._word() if not self.brackets else self._word_inside_brackets(character)
        if character in _DIGITS or (character == "." and pair[1:] in set(_DIGITS)):
            return self._number()
        if character in "\"'`":
            return self._string(character)
        if pair in ("==", "!=", "<=", ">=", "</", ">/"):
            return self._symbol(pair)
        if pair == "=~":
            raise self._flaw("unexpected character after '=': '~'")
        if character == "!":
            after = quote_rune(pair[1]) if len(pair) > 1 else "'�'"
            raise self._flaw(f"unexpected character after '!': {after}")
        if character in "()":
            return self._paren(character)
        if character == "{":
            self.braces = True
            return self._symbol("{")
        if character in "[]":
            return self._bracket(character)
        if character in ",*/%+-^=<>@":
            return self._symbol(character)
        raise self._flaw(f"unexpected character: {quote_rune(character)}")

    def _paren(self, character: str) -> Token:
        self.parens += 1 if character == "(" else -1
        token = self._symbol(character)
        if self.parens < 0:
            raise self._flaw("unexpected right parenthesis ')'")
        return token

    def _bracket(self, character: str) -> Token:
        if character == "[":
            if self.brackets:
                raise self._flaw("unexpected left bracket '['")
            self.brackets = self._duration = True
            self._colon = self._number_seen = False
        elif not self.brackets:
            raise self._flaw("unexpected right bracket ']'")
        else:
            self.brackets = self._duration = False
        return self._symbol(character)

    def _word_inside_brackets(self, character: str) -> Token:
        start = self.position
        if character == ":":
            if self._colon:
                raise self._flaw("unexpected colon ':'")
            self._colon = True
            return self._symbol(":")
        found = _LETTERS.match(self.text, start)
        if found and found.group().lower() in DURATION_WORDS:
            return self._emit(found.group().lower(), len(found.group()))
        raise self._flaw(f"unexpected character: {quote_rune(character)}, expected ':'")

    def _inside_brackets(self) -> Token:
        text, at = self.text, self.position
        if at >= len(text):
            raise self._flaw("unexpected end of input in duration expression")
        character = text[at]
        if character in "()":
            return self._paren(character)
        if character == "]":
            return self._bracket(character)
        if character == ":":
            if not self._number_seen:
                raise self._flaw("unexpected colon before duration in duration expression", at + 1)
            if self._colon:
                raise self._flaw("unexpected repeated colon in duration expression", at + 1)
            self._colon = True
            return self._symbol(":")
        if character in "+-*/%^,":
            return self._symbol(character)
        if character.lower() in "srm":
            found = _LETTERS.match(text, at)
            if found and found.group().lower() in DURATION_WORDS:
                return self._emit(found.group().lower(), len(found.group()))
        elif character in _DIGITS or (character == "." and text[at + 1 : at + 2] in set(_DIGITS)):
            self._number_seen = True
            self._duration = False
            return self._number()
        raise self._flaw(f"unexpected character in duration expression: {quote_rune(character)}")

    def _inside_braces(self) -> Token:
        text, at = self.text, self.position
        if at >= len(text):
            raise self._flaw("unexpected end of input inside braces")
        character, pair = text[at], text[at : at + 2]
        if character in _LETTER:
            return self._emit("identifier", len(_IDENTIFIER.match(text, at).group()))  # type: ignore[union-attr]
        if character in "\"'`":
            return self._string(character)
        if pair in ("=~", "!~", "!="):
            return self._symbol(pair)
        if character in ",=":
            return self._symbol(character)
        if character == "!":
            after = quote_rune(pair[1]) if len(pair) > 1 else "'�'"
            raise self._flaw(f"unexpected character after '!' inside braces: {after}")
        if character == "{":
            raise self._flaw("unexpected left brace '{'")
        if character == "}":
            self.braces = False
            return self._symbol("}")
        raise self._flaw(f"unexpected character inside braces: {quote_rune(character)}")

    def _word(self) -> Token:
        found = _METRIC.match(self.text, self.position)
        assert found is not None
        word = found.group()
        lower = word.lower()
        if lower in ("inf", "nan"):
            return self._emit("number", len(word))
        if lower in _WORD_KINDS:
            if lower.startswith("fill"):  # a metric may be called so: a keyword only before a parenthesis
                after = _SPACE.match(self.text, found.end()).end()  # type: ignore[union-attr]
                if not self.text.startswith("(", after):
                    return self._emit("identifier", len(word))
            return self._emit(lower, len(word))
        return self._emit("metric" if ":" in word else "identifier", len(word))

    def _number(self) -> Token:
        start = self.position
        good, end = scan_number(self.text, start)
        if good:
            return self._emit("number", end - start)
        found = _DURATION_REST.match(self.text, end)
        if found and self.text[found.end() : found.end() + 1] not in _ALNUM:
            return self._emit("duration", found.end() - start)
        tried = _DURATION_TRY.match(self.text, end).end()  # type: ignore[union-attr]
        if tried > end and self.text[tried - 1] not in _DIGITS:
            tried += 1  # the character that follows was looked at
        bad = self.text[start:tried]
        raise self._flaw(f"bad number or duration syntax: {quote(bad)}")

    def _string(self, mark: str) -> Token:
        start, text = self.position, self.text
        at = start + 1
        while True:
            if mark != "`":
                at = _PLAIN_STRING[mark].match(text, at).end()  # type: ignore[union-attr]
            character = text[at : at + 1]
            if character in {"\ufffd"} or "\ud800" <= character <= "\udfff":
                raise self._flaw("invalid UTF-8 rune")
            if not character or (character == "\n" and mark != "`"):
                raise self._flaw("unterminated raw string" if mark == "`" else "unterminated quoted string")
            if character == mark:
                return self._emit("string", at + 1 - start)
            at = self._escape(at + 1, mark) if character == "\\" and mark != "`" else at + 1

    def _escape(self, at: int, mark: str) -> int:
        """Check the escape whose letter is at `at`; returns where it ends."""
        text = self.text
        letter = text[at : at + 1]
        if letter and letter in "abfnrtv\\" + mark:
            return at + 1
        if not letter:
            raise self._flaw("escape sequence not terminated")
        forms = {"x": (2, 16, 255), "u": (4, 16, 0x10FFFF), "U": (8, 16, 0x10FFFF)}
        if letter in "01234567":
            count, base, limit = 3, 8, 255
        elif letter in forms:
            count, base, limit = forms[letter]
            at += 1
        else:
            raise self._flaw(f"unknown escape sequence {_unicode(letter)}")
        value = 0
        for digit in text[at : at + count].ljust(count, "\0"):
            if digit == "\0":
                raise self._flaw("escape sequence not terminated")
            if digit not in "0123456789abcdefABCDEF" or int(digit, 16) >= base:
                raise self._flaw(f"illegal character {_unicode(digit)} in escape sequence")
            value = value * base + int(digit, 16)
        if value > limit or 0xD800 <= value < 0xE000:
            raise self._flaw("escape sequence is an invalid Unicode code point")
        return at + count


def _unicode(character: str) -> str:
    return f"U+{ord(character):04X} {quote_rune(character)[:1]}{character}'"


def scan_number(text: str, at: int) -> tuple[bool, int]:
    """Whether a number stands at `at`, and how far was read."""

    def holds(characters: str) -> bool:
        return at < len(text) and text[at] in characters

    start, digits = at, _DIGITS
    if holds("0"):
        at += 1
        if holds("xX"):
            at += 1
            digits += "abcdefABCDEF"
            at += holds("_")
    at += holds(".")
    at += holds(digits)
    dot = exponent = False
    while holds(digits + "._eE"):
        character = text[at]
        if character in digits:
            at += 1
            continue
        if (character == "." and dot) or (character in "eE" and exponent):
            return False, at + 1
        at += 1
        if character == ".":
            dot = True
            if holds("_.") or len(digits) > len(_DIGITS):
                return False, at + holds("_.")
        elif character == "_":
            if holds("._eE") or at == len(text):
                return False, at + holds("._eE")
        else:
            exponent = True
            at += holds("+-")
            if holds("._eE") or at == len(text):
                return False, at + holds("._eE")
    following = text[at : at + 1]
    return at > start and following not in _ALNUM, at
