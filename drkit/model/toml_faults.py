"""Reports all faults in TOML that people wrote, each with its line.

``tomllib`` does not say where a value is, so ``locate`` reads the text a second time, for its structure only, when there is
something to report. ``check`` compares a parsed table with a msgspec struct and does not stop at the first fault.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, NamedTuple, NoReturn, get_args, get_origin

import msgspec

from drkit.errors import FileError

Path = tuple[str | int, ...]
DEEPEST = 32
"""Levels of keys within keys; settings have four."""
SECRETS = (
    "no secret belongs in this file: use a managed identity, a federated identity or `az login`, "
    'or credential = "environment" with AZURE_CLIENT_SECRET set outside'
)

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*)|(?P<newline>\n)
    |(?P<text>\"\"\"(?:\\[\s\S]|[^\\])*?\"\"\"\"{0,2}|'''[\s\S]*?''''{0,2}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
    |(?P<mark>[][{}=,.])|(?P<bare>[^][{}=,.\s\#"']+)""",
    re.VERBOSE,
)
_SECRET_PART = re.compile(r"secret|passw|token|apikey|accesskey|accountkey|privatekey|connectionstring")
_SECRET_WORDS = frozenset({"pwd", "sas", "key"})


class TomlFault(NamedTuple):
    """One fault: the path of keys and list positions that it concerns, and the words for the person who wrote the file."""

    path: Path
    what: str


def decode(raw: bytes, where: str) -> str:
    """The text of a TOML file, without its byte order mark. FileError, with the line, for bytes that are not UTF-8."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FileError("is not UTF-8", where=f"{where}:{line}", remedy="save the file as UTF-8") from error


def parse(text: str, where: str) -> dict[str, Any]:
    """The parsed table. FileError, with the line, for text that is not TOML."""
    try:
        table = tomllib.loads(text)
    except RecursionError as error:
        raise FileError("is nested too deeply", where=where) from error
    except ValueError as error:
        message = re.sub(r" \(at (?:line (\d+), column \d+|end of document)\)$", "", str(error))
        if not isinstance(error, tomllib.TOMLDecodeError):
            message = "a number has too many digits"
        match = re.search(r"at line (\d+)", str(error))
        at_end = "at end of document" in str(error)
        line = match[1] if match else str(text.rstrip().count("\n") + 1) if at_end else ""
        raise FileError(
            f"is not TOML: {message}",
            where=f"{where}:{line}" if line else where,
            remedy="write text in quotes, and one `key = value` on each line",
        ) from error
    level: list[Any] = [table]
    for _ in range(DEEPEST):
        level = [inner for value in level for inner in _inside(value) if isinstance(inner, dict | list)]
    if level:
        raise FileError("is nested too deeply", where=where, remedy="look for a key with many dots, or many brackets")
    return table


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def locate(text: str) -> dict[Path, int]:
    """The line, counted from 1, of every table, key and list element of valid TOML."""
    return _Locator(text).lines


def refuse(faults: Iterable[TomlFault], text: str, where: str, help_text: str) -> NoReturn:
    """Raise one FileError that lists all faults in the order of their lines."""
    lines = locate(text)
    listed = []
    for fault in dict.fromkeys(faults):
        path = fault.path
        while path and path not in lines:
            path = path[:-1]
        key = ".".join(_shown(part) for part in fault.path if isinstance(part, str))
        listed.append((lines.get(path, 1), f"{key}: {fault.what}" if key else fault.what))
    listed.sort(key=lambda entry: entry[0])
    head = f"{len(listed)} fault{'s' if len(listed) > 1 else ''}; {help_text}"
    raise FileError("\n".join([head, *(f"  {where}:{line}: {what}" for line, what in listed)]), where=where)


def check(value: object, type_: Any, path: Path = (), homes: Mapping[str, str] | None = None) -> list[TomlFault]:
    """Every fault of a parsed value, compared with a type made of structs, lists, dicts and plain values.

    ``homes``: key -> the table where it belongs, for a key in the wrong table.
    """
    plain = get_args(type_)[0] if get_origin(type_) is Annotated else type_
    if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
        return _check_struct(value, plain, path, homes or {})
    origin = get_origin(plain)
    if origin is list and isinstance(value, list):
        (inner,) = get_args(plain)
        faults = [] if value else _check_plain(value, type_, path)
        for index, item in enumerate(value):
            faults += check(item, inner, (*path, index), homes)
        return faults
    if origin is dict and isinstance(value, dict):
        inner = get_args(plain)[1]
        return [fault for key, item in value.items() for fault in check(item, inner, (*path, key), homes)]
    if origin is list and _is_struct(get_args(plain)[0]) and isinstance(value, dict):
        return [TomlFault(path, f"write [[{path[-1]}]], with two brackets, once for each")]
    return _check_plain(value, type_, path)


def quoted(value: object) -> str:
    """A value for a message: short, and without control characters."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    shown = json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else str(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


@cache
def fields(struct: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The fields of a struct by their keys in a file."""
    return {field.encode_name: field for field in msgspec.structs.fields(struct)}


def _shown(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else quoted(key)


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)


def _check_struct(value: object, struct: type[msgspec.Struct], path: Path, homes: Mapping[str, str]) -> list[TomlFault]:
    if not isinstance(value, dict):
        name = path[-1] if path else "it"
        if isinstance(value, list) and path:
            return [TomlFault(path, f"may be there once only: write [{name}], with single brackets")]
        return [TomlFault(path, f"must be a table, not {quoted(value)}")]
    known_fields = fields(struct)
    faults: list[TomlFault] = []
    for key, item in value.items():
        if key in known_fields:
            faults += check(item, known_fields[key].type, (*path, key), homes)
        else:
            faults.append(TomlFault((*path, key), _unknown(key, known_fields, path, homes)))
    faults += [
        TomlFault((*path, key), f"is missing; it must be {allowed(field.type)}")
        for key, field in known_fields.items()
        if key not in value and field.required
    ]
    return faults


def _unknown(key: str, allowed_keys: Iterable[str], path: Path, homes: Mapping[str, str]) -> str:
    words = re.split(r"[^a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", key).lower())
    if _SECRET_PART.search("".join(words)) or _SECRET_WORDS & set(words):
        return f"unknown key; {SECRETS}"
    if key in homes:
        return f"is in the wrong table: it belongs {homes[key]}"
    names = sorted(allowed_keys)
    plain = key.lower().replace("-", "_")
    close = difflib.get_close_matches(plain, names, n=1)
    if not close and (elsewhere := difflib.get_close_matches(plain, homes, n=1, cutoff=0.8)):
        return f'unknown key; did you mean "{elsewhere[0]}"? That belongs {homes[elsewhere[0]]}'
    table = ".".join(str(part) for part in path if isinstance(part, str))
    place = f"in [{table}]" if table else "at the top"
    hint = f'; did you mean "{close[0]}"?' if close else ""
    return f"unknown key{hint}{'' if hint else ';'} allowed {place}: {', '.join(names)}"


def _check_plain(value: object, type_: Any, path: Path) -> list[TomlFault]:
    if isinstance(value, str) and any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        return [TomlFault(path, "holds a control character (a line break, a tab); it must be one line of text")]
    try:
        msgspec.convert(value, type_)
    except (msgspec.ValidationError, OverflowError):
        return [TomlFault(path, f"{quoted(value)} is not allowed; it must be {allowed(type_)}")]
    return []


def allowed(type_: Any) -> str:
    """What a value of this type may be, for people. ``Meta(extra={"allowed": ...})`` has its own words."""
    info = msgspec.inspect.type_info(type_)
    if isinstance(info, msgspec.inspect.Metadata):
        if info.extra and "allowed" in info.extra:
            return str(info.extra["allowed"])
        info = info.type
    match info:
        case msgspec.inspect.LiteralType(values=values):
            named = [f'"{value}"' for value in values if value != ""]
            return "one of " + ", ".join(named) + (' or "" for none' if "" in values else "")
        case msgspec.inspect.ListType(item_type=msgspec.inspect.Metadata(extra={"allowed": words})):
            return f"a list, each {words}"
        case msgspec.inspect.ListType():
            return "a list"
        case msgspec.inspect.BoolType():
            return "true or false, without quotes"
        case msgspec.inspect.IntType():
            return "a whole number, without quotes"
        case msgspec.inspect.FloatType():
            return "a number, without quotes"
        case msgspec.inspect.StrType():
            return "text in quotes"
        case _:
            return "a table"


class _Locator:
    """Reads the structure of valid TOML. For a path without a line ``refuse`` names the parent's line."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        self._tokens: list[tuple[str, str, int, int]] = []  # kind, text, line, position
        self._at = 0
        line = 1
        for match in _TOKEN.finditer(text):
            if match.lastgroup != "space":
                self._tokens.append((match.lastgroup or "", match[0], line, match.start()))
            line += match[0].count("\n")
        self._tokens.append(("newline", "\n", line, len(text)))
        self._tokens.append(("end", "", line, len(text)))
        table: Path = ()
        while self._peek() != "end":
            if self._peek() == "newline":
                self._at += 1
            elif self._text() == "[":
                table = self._header()
            else:
                self._assignment(table)

    def _peek(self) -> str:
        return self._tokens[self._at][0]

    def _text(self) -> str:
        return self._tokens[self._at][1]

    def _line(self) -> int:
        return self._tokens[self._at][2]

    def _key(self) -> list[str]:
        """The parts of a dotted key; reading stops after them."""
        parts: list[str] = []
        while self._peek() in ("bare", "text") or self._text() == ".":
            kind, text, _, _ = self._tokens[self._at]
            if kind == "text":
                parts.append(str(tomllib.loads(f"k = {text}")["k"]))
            elif kind == "bare":
                parts.append(text)
            self._at += 1
        return parts

    def _header(self) -> Path:
        line = self._line()
        following = self._tokens[self._at + 1]
        is_array = following[1] == "[" and following[3] == self._tokens[self._at][3] + 1
        self._at += 2 if is_array else 1
        parts = self._key()
        path: Path = ()
        for index, part in enumerate(parts[:DEEPEST]):
            path = (*path, part)
            last = index == len(parts[:DEEPEST]) - 1
            if is_array and last:
                self._counts[path] = self._counts.get(path, 0) + 1
            self.lines.setdefault(path, line)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        if not is_array:
            self.lines[path] = line  # the header itself, also when a sub-table came first
        self.lines.setdefault(path, line)
        self._skip_line()
        return path

    def _assignment(self, table: Path) -> None:
        line = self._line()
        path = table
        for part in self._key()[: max(0, DEEPEST - len(path))]:
            path = (*path, part)
            self.lines.setdefault(path, line)
        if self._text() == "=":
            self._at += 1
            self._value(path)
        else:
            self._at += 1

    def _value(self, path: Path) -> None:
        opening = self._text()
        if opening == "[":
            self._at += 1
            index = 0
            while self._text() != "]" and self._peek() != "end":
                if self._text() == "," or self._peek() == "newline":
                    self._at += 1
                    continue
                self.lines[(*path, index)] = self._line()
                self._value((*path, index))
                index += 1
            self._at += 1
        elif opening == "{":
            self._at += 1
            while self._text() != "}" and self._peek() != "end":
                if self._text() == "," or self._peek() == "newline":
                    self._at += 1
                else:
                    self._assignment(path)
            self._at += 1
        else:
            while self._peek() in ("bare", "text") or self._text() == ".":
                self._at += 1

    def _skip_line(self) -> None:
        while self._peek() not in ("newline", "end"):
            self._at += 1
