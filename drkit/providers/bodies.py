"""How much of an answer is read: no more than a limit, packed or unpacked."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import aiohttp
from azure.core.exceptions import AzureError

MOST = 128 * 1024 * 1024
"""Bytes of one answer. What Azure gives out comes in pages of at most some megabytes, a blob in parts of at most 32."""
_PART = 1024 * 1024


class TooLongError(AzureError):
    """An answer that is longer than any that drkit asks for; the rest of it is not read."""

    def __init__(self, most: int, *, packed: bool = False) -> None:
        unit = f"{most // (1024 * 1024)} MB" if most >= 1024 * 1024 else f"{most} bytes"
        super().__init__(f"the answer is longer than {unit}{' when it is unpacked' if packed else ''}")


class PackedError(AzureError):
    """An answer that is packed though drkit asked for a plain one."""

    def __init__(self, encoding: str) -> None:
        super().__init__(f"the answer is packed ({encoding[:40]!r}), though a plain one was asked for")


class BoundedResponse(aiohttp.ClientResponse):
    """An answer of the async client whose body is read up to ``MOST`` bytes, and not given out if it unpacks to more."""

    _whole: bytes | None = None

    async def read(self) -> bytes:
        """The body as it came; TooLongError."""
        if self._whole is None:
            parts: list[bytes] = []
            size = 0
            try:
                async for part in self.content.iter_any():
                    size += len(part)
                    if size > MOST:
                        raise TooLongError(MOST)
                    parts.append(part)
                self._whole = b"".join(parts)
                check_unpacked(self._whole, self.headers.get("Content-Encoding", ""), MOST)
            except BaseException:
                self.close()
                raise
        return self._whole


def check_unpacked(content: bytes, encoding: str, most: int) -> None:
    """TooLongError when content unpacks to more than ``most`` bytes. What cannot be unpacked is for its reader to say."""
    named = encoding.strip().lower()
    if named not in ("gzip", "deflate"):
        return
    unpacking = zlib.decompressobj(wbits=(16 + zlib.MAX_WBITS) if named == "gzip" else -zlib.MAX_WBITS)
    size, rest = 0, content
    try:
        while rest:
            size += len(unpacking.decompress(rest, _PART))
            if size > most:
                raise TooLongError(most, packed=True)
            if unpacking.eof:
                return
            rest = unpacking.unconsumed_tail
    except zlib.error:
        return


class BoundedRaw:
    """urllib3's answer, of which no more than ``MOST`` bytes are given out; otherwise the same."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def stream(self, *args: Any, **options: Any) -> Iterator[bytes]:
        """The body in parts; TooLongError after so many bytes."""
        size = 0
        for part in self._raw.stream(*args, **options):
            size += len(part)
            if size > MOST:
                raise TooLongError(MOST)
            yield part

    @property
    def enforce_content_length(self) -> bool:
        """Whether a body that is cut off is an error."""
        return bool(self._raw.enforce_content_length)

    @enforce_content_length.setter
    def enforce_content_length(self, wanted: bool) -> None:
        self._raw.enforce_content_length = wanted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)
