"""Secrets out of text, before it becomes an error, a log line or a report (DESIGN 7, "redaction"). Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

MARK = "[redacted]"
_SHORTEST_SECRET = 4
_MOST_LEARNT = 500
_KEYS = (
    "access_?token|accessToken|refresh_?token|id_?token|session_?token|relaySasToken|client_?secret|client_?assertion"
    "|assertion|password|passwd|user_?code|device_?code|sign_?in_?code|AccountKey|SharedAccessKey|SharedAccessSignature"
)
# Where azure-identity, Azure Pipelines, a managed identity and drkit's store take secrets from.
_VARIABLES = (
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_PASSWORD",
    "AZURE_STORAGE_KEY",
    "SYSTEM_ACCESSTOKEN",
    "IDENTITY_HEADER",
    "MSI_SECRET",
)
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\b(bearer|basic|sharedkey)(\s+)[A-Za-z0-9._~+/=:-]{6,}"), rf"\1\2{MARK}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*"), MARK),
    (re.compile(rf"(?i)(\\*[\"']?\b(?:{_KEYS})\\*[\"']?\s*[:=]\s*\\*[\"'])((?:\\.|[^\"'\\])*)"), rf"\1{MARK}"),
    (re.compile(rf"(?i)\b({_KEYS})(\s*[=:]\s*)(?![\"'\\\s\[])[^&;\s\"',}}]+"), rf"\1\2{MARK}"),
    # A shared access signature, and ARM's signed polling URLs (c certificate, s signature, h hash).
    (re.compile(r"(?i)([?&](?:sig|c|s|h|code|token|skoid)=)[^&\s\"'<>]+"), rf"\1{MARK}"),
    (re.compile(r"(?i)\b(sig=)[^&\s\"'<>\[]+"), rf"\1{MARK}"),
    (re.compile(r"(?i)\b((?:enter|use) (?:the )?code:?\s+)[A-Z0-9](?:[A-Z0-9-]{4,14})[A-Z0-9]\b"), rf"\1{MARK}"),
    (re.compile(r"(?i)(https?://)[^/\s@:]+:[^/\s@]+@"), rf"\1{MARK}@"),
)


def of_environment(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets that a process was given in its environment."""
    return tuple(environ[name] for name in _VARIABLES if environ.get(name))


def _spelt(secret: str) -> frozenset[str]:
    """A secret as it stands, as words that were joined anew, and as JSON has it."""
    as_json = (json.dumps(secret, ensure_ascii=plain)[1:-1] for plain in (True, False))
    return frozenset((secret, " ".join(secret.split()), *as_json))


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` without bearer tokens, JWTs, values of secret-bearing keys, signatures and sign-in codes.

    ``secrets`` are texts known to be secret, taken out wherever they stand.
    """
    for secret in sorted((known for known in secrets if len(known) >= _SHORTEST_SECRET), key=len, reverse=True):
        text = text.replace(secret, MARK)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


class Redactor:
    """``redact`` with the secrets a session came to know."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._fixed = frozenset(text for secret in secrets if secret for text in _spelt(secret))
        self._learnt: dict[str, frozenset[str]] = {}

    def add(self, secret: str) -> None:
        """Remember a secret; of very many, the newest."""
        if secret:
            self._learnt[secret] = self._learnt.pop(secret, frozenset()) or _spelt(secret)
            while len(self._learnt) > _MOST_LEARNT:
                del self._learnt[next(iter(self._learnt))]

    def __call__(self, text: str) -> str:
        return redact(text, self._fixed.union(*self._learnt.values()))
