"""Limits how much of an answer is read, compressed or not."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import aiohttp
from azure.core.exceptions import AzureError

MOST = 128 * 1024 * 1024
"""Bytes of one answer. Azure's pages have a few megabytes at most, the parts of a blob at most 32."""
_PART = 1024 * 1024


class TooLongError(AzureError):
    """An answer that is longer than any that drkit expects; its rest is not read."""

    def __init__(self, most: int, *, packed: bool = False) -> None:
        unit = f"{most // (1024 * 1024)} MB" if most >= 1024 * 1024 else f"{most} bytes"
        super().__init__(f"the answer is longer than {unit}{' when it is unpacked' if packed else ''}")


class PackedError(AzureError):
    """An answer that is compressed although drkit asked for an uncompressed one."""

    def __init__(self, encoding: str) -> None:
        super().__init__(f"the answer is packed ({encoding[:40]!r}), though a plain one was asked for")


class BoundedResponse(aiohttp.ClientResponse):
    """An answer of the async client. No more than ``MOST`` bytes of its body are read, compressed or not."""

    _whole: bytes | None = None

    async def read(self) -> bytes:
        """The body as it was received. TooLongError for more than ``MOST`` bytes."""
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
    """TooLongError for content that unpacks to more than ``most`` bytes. Its reader reports what cannot be unpacked."""
    named = encoding.strip().lower()
    if named not in ("gzip", "deflate"):
        return
    unpacking = zlib.decompressobj(wbits=(16 + zlib.MAX_WBITS) if named == "gzip" else -zlib.MAX_WBITS)
    size, remaining = 0, content
    try:
        while remaining:
            size += len(unpacking.decompress(remaining, _PART))
            if size > most:
                raise TooLongError(most, packed=True)
            if unpacking.eof:
                return
            remaining = unpacking.unconsumed_tail
    except zlib.error:
        return


class BoundedRaw:
    """urllib3's answer, of which no more than ``MOST`` bytes are read; otherwise unchanged."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def stream(self, *args: Any, **options: Any) -> Iterator[bytes]:
        """The body in parts. TooLongError after ``MOST`` bytes."""
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
