"""Azure's answers, made fit for use: JSON that a file can hold, and one error for whatever goes wrong in reading them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import msgspec

from drkit.errors import DrkitError, GuardError, UnknownFateError, UnreadableError
from drkit.model.clock import StoppedError

DEEPEST = 100
"""Objects and lists within each other: Azure's have about ten."""
_SHOWN = 200


@contextmanager
def read(where: str = "") -> Iterator[None]:
    """The block reads something of Azure: whatever it raises is a CloudError, so that one odd answer is one failed reading.

    Inside: requests, and whatever takes their answers apart; what is no error of drkit's becomes UnreadableError. ``where``
    is what is read, for an error that does not say so.
    """
    try:
        with understood(where):
            yield
    except GuardError as error:
        # An address or a name in an answer led where nothing may be asked.
        raise UnreadableError(
            f"was not asked: {error.what}", where=error.where or where, remedy="look at it in Azure"
        ) from error


@contextmanager
def understood(where: str = "") -> Iterator[None]:
    """As ``read``, for the steps of a run: what the pipeline refuses stays a GuardError."""
    try:
        yield
    except (DrkitError, StoppedError):
        raise
    except Exception as error:
        raise UnreadableError(
            f"Azure's answer is not of the documented shape ({_said(error)})",
            where=where,
            remedy="look at it in Azure; everything else is read all the same",
        ) from error


@contextmanager
def sent(where: str) -> Iterator[None]:
    """The block writes something to Azure; what its answer makes it raise is an UnknownFateError: it was sent."""
    try:
        yield
    except (DrkitError, StoppedError):
        raise
    except Exception as error:
        raise UnknownFateError(
            f"Azure's answer is not of the documented shape ({_said(error)}); it may or may not have been carried out",
            where=where,
            remedy="drkit looks before it does anything else",
        ) from error


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:_SHOWN]


def segment(name: object) -> str:
    """A name as one part of a path, percent-encoded. ValueError for what is none: it would lead to another object."""
    if not isinstance(name, str) or name.strip() in ("", ".", "..") or "/" in name or "\\" in name:
        raise ValueError(f"{str(name)[:100]!r} is no name")
    return quote(name, safe="!$&'()*+,;=:@-._~")


def cleaned(content: bytes) -> bytes:
    """A body of JSON that a file can hold: the same bytes if it is, else without lone surrogates, bytes that are no UTF-8 and
    numbers that are none.

    ValueError for what is no JSON, RecursionError or ValueError for what is nested too deeply.
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


def text_of(found: str) -> str:
    """A text as a file can hold it: a surrogate without its other half becomes U+FFFD."""
    if found.isascii():
        return found
    return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _shallow(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        inner = [one for found in level if type(found) is dict for one in found.values() if type(one) in (dict, list)]
        inner += [one for found in level if type(found) is list for one in found if type(one) in (dict, list)]
        if not inner:
            return
        level = inner
    raise ValueError(f"nested more than {DEEPEST} deep")


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {text_of(key): _whole(one) for key, one in value.items()}
    return value


def _no_number(_text: str) -> None:
    return None


def _number(text: str) -> float | None:
    number = float(text)
    return number if abs(number) != float("inf") else None
