"""One JSON value in the dialect of QMP: strings stand in single or double quotes."""

import re
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Value:
    """One complete JSON value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Bad:
    """A piece of input that is no JSON."""

    desc: str


class _NoJson(Exception):
    """The text is no JSON; the argument is the description."""


_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<mark>[{}\[\],:])
          |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
          |(?P<number>-?(?:0|[1-9]\d*)(?P<fraction>\.\d+)?(?P<exponent>[eE][-+]?\d+)?(?![\w.]))
          |(?P<word>[^\s{}\[\],:'"]+))""",
    re.VERBOSE | re.DOTALL,
)
_WORDS: Final = {"true": True, "false": False, "null": None}
_ESCAPE: Final = re.compile(
    r"\\(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL
)
_PLAIN: Final = {
    '"': '"', "'": "'", "\\": "\\", "/": "/",
    "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}  # fmt: skip


def parse(text: bytes) -> Value | Bad:
    """The one value in a complete text."""
    try:
        return Value(_parse(text.decode("utf-8")))
    except UnicodeDecodeError:
        return Bad("JSON parse error, invalid UTF-8 sequence")
    except _NoJson as error:
        return Bad(f"JSON parse error, {error}")


class _Open:
    """An object or array whose end has not been read; a `key` waits for its value."""

    __slots__ = ("close", "items", "key")

    def __init__(self, close: str) -> None:
        self.close = close
        self.items: Any = {} if close == "}" else []
        self.key = ""

    def add(self, value: Any) -> None:
        if self.close == "]":
            self.items.append(value)
        else:
            self.items[self.key] = value


def _parse(text: str) -> Any:
    """A parser with a stack of its own, since nesting may be deeper than Python's."""
    parser, at = _Parser(), 0
    while True:
        token = _TOKEN.match(text, at)
        if token is None:
            rest = text[at:].strip()
            raise _NoJson(f"stray '{rest}'" if rest else "premature EOI")
        at = token.end()
        parser.next(token)
        if not parser.stack:
            return parser.value


class _Parser:
    """Takes one token after the other; `stack` is empty when `value` is complete."""

    def __init__(self) -> None:
        self.stack: list[_Open] = []
        self.value: Any = None
        self.next = self._value

    def _value(self, token: re.Match[str]) -> None:
        match token["mark"]:
            case "{":
                self.stack.append(_Open("}"))
                self.next = self._key_or_end
            case "[":
                self.stack.append(_Open("]"))
                self.next = self._value_or_end
            case None:
                self._complete(_scalar(token))
            case _:
                raise _NoJson("expecting value")

    def _complete(self, value: Any) -> None:
        self.value = value
        if self.stack:
            self.stack[-1].add(value)
        self.next = self._comma_or_end

    def _end(self) -> None:
        self._complete(self.stack.pop().items)

    def _value_or_end(self, token: re.Match[str]) -> None:
        if token["mark"] == "]":
            self._end()
        else:
            self._value(token)

    def _key_or_end(self, token: re.Match[str]) -> None:
        if token["mark"] == "}":
            self._end()
        else:
            self._key(token)

    def _key(self, token: re.Match[str]) -> None:
        if token["string"] is None:
            _scalar(token)  # of a word that is none, JSON says so
            raise _NoJson("key is not a string in object")
        top = self.stack[-1]
        top.key = _string(token["string"])
        if top.key in top.items:
            raise _NoJson("duplicate key")
        self.next = self._colon

    def _colon(self, token: re.Match[str]) -> None:
        if token["mark"] != ":":
            raise _NoJson("missing : in object pair")
        self.next = self._value

    def _comma_or_end(self, token: re.Match[str]) -> None:
        close = self.stack[-1].close
        if token["mark"] == close:
            self._end()
        elif token["mark"] == ",":
            self.next = self._key if close == "}" else self._value
        else:
            raise _NoJson("expected separator in " + ("dict" if close == "}" else "list"))


def _scalar(token: re.Match[str]) -> Any:
    if token["string"] is not None:
        return _string(token["string"])
    if token["number"] is not None:
        if token["fraction"] or token["exponent"]:
            return float(token["number"])
        value = int(token["number"]) if len(token["number"]) < 25 else None
        return value if value is not None and abs(value) < 1 << 64 else float(token["number"])
    if token["word"] not in _WORDS:
        raise _NoJson(f"invalid keyword '{token['word']}'")
    return _WORDS[token["word"]]


def _string(token: str) -> str:
    def plain(match: re.Match[str]) -> str:
        escape = match[1]
        if len(escape) > 1:
            codes = bytes.fromhex(escape.replace("\\u", "")[1:])
            try:
                return codes.decode("utf-16-be")
            except UnicodeDecodeError:
                raise _NoJson(f"\\{escape} is not a valid Unicode character") from None
        if escape not in _PLAIN:
            raise _NoJson(f"invalid escape sequence '\\{escape}' in string")
        return _PLAIN[escape]

    return _ESCAPE.sub(plain, token[1:-1])
