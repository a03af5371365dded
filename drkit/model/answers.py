"""Makes Azure's answers fit for use: JSON that a file can hold, and one error for everything that goes wrong in reading. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import msgspec

from drkit.errors import DrkitError, GuardError, UnknownFateError, UnreadableError
from drkit.model.clock import StoppedError

DEEPEST = 100
"""Levels of objects and lists in one answer; Azure's have about ten."""
_SHOWN = 200


@contextmanager
def reading_azure(where: str = "") -> Iterator[None]:
    """A block that reads something from Azure raises only CloudErrors, so that one odd answer is one failed reading.

    The block holds the requests and all code that takes their answers apart. An exception that is not one of drkit's becomes
    UnreadableError. ``where``: what is read, for an error that does not name it.
    """
    try:
        with reading_azure_in_step(where):
            yield
    except GuardError as error:
        # A URL or a name in an answer led to a place where nothing may be read.
        raise UnreadableError(
            f"was not read: {error.what}", where=error.where or where, remedy="look at it in Azure"
        ) from error


@contextmanager
def reading_azure_in_step(where: str = "") -> Iterator[None]:
    """The same as ``reading_azure`` for a step of a run: a GuardError stays one."""
    try:
        yield
    except (DrkitError, StoppedError):
        raise
    except Exception as error:
        raise UnreadableError(
            f"Azure's answer is not of the documented shape ({_in_words(error)})",
            where=where,
            remedy="look at it in Azure; everything else is read all the same",
        ) from error


@contextmanager
def writing_azure_in_step(where: str) -> Iterator[None]:
    """A block that writes to Azure: an answer that cannot be read is an UnknownFateError, because the request was sent."""
    try:
        yield
    except (DrkitError, StoppedError):
        raise
    except Exception as error:
        raise UnknownFateError(
            f"Azure's answer is not of the documented shape ({_in_words(error)}); it may or may not have been carried out",
            where=where,
            remedy="drkit looks before it does anything else",
        ) from error


def _in_words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:_SHOWN]


def segment(name: object) -> str:
    """A name as one percent-encoded segment of a path. ValueError for a text that would lead to another object."""
    if not isinstance(name, str) or name.strip() in ("", ".", "..") or "/" in name or "\\" in name:
        raise ValueError(f"{str(name)[:100]!r} is not a name")
    return quote(name, safe="!$&'()*+,;=:@-._~")


def cleaned(content: bytes) -> bytes:
    """A body as JSON that a file can hold: unchanged if it is, else without lone surrogates, invalid UTF-8, NaN and infinities.

    ValueError for a body that is not JSON, RecursionError or ValueError for one that is nested too deeply.
    """
    try:
        value = msgspec.json.decode(content)
    except ValueError:
        text = content.decode("utf-8-sig", "replace")
        value = json.loads(text, parse_constant=_no_number, parse_float=_number)
        _shallow(value)
        return json.dumps(_whole(value), ensure_ascii=False, allow_nan=False).encode()
    _shallow(value)
    return content


def text_of(text: str) -> str:
    """A text that a file can hold: a surrogate without its other half becomes U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _members(value: Any) -> Iterable[Any]:
    return value.values() if type(value) is dict else value


def _shallow(value: Any) -> None:
    """ValueError for objects and lists that are nested more than ``DEEPEST`` levels deep."""
    level = [value] if type(value) in (dict, list) else []
    for _ in range(DEEPEST):
        below = [inner for nested in level for inner in _members(nested) if type(inner) in (dict, list)]
        if not below:
            return
        level = below
    raise ValueError(f"nested more than {DEEPEST} deep")


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {text_of(key): _whole(item) for key, item in value.items()}
    return value


def _no_number(_text: str) -> None:
    return None


def _number(text: str) -> float | None:
    number = float(text)
    return number if abs(number) != float("inf") else None
