"""Takes secrets out of a text before it becomes an error, a log line or a report. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping

MARK = "[redacted]"
LONGEST = 4096
"""Characters of a redacted text, where the caller asks for no other number."""
_WINDOW = 65_536
_LONGEST_PATTERN = 256  # a password in an address and a code are shorter
_SHORTEST_SECRET = 4
_MOST_LEARNT = 500
_KEYS = (
    "access_?token|accessToken|refresh_?token|id_?token|session_?token|relaySasToken|client_?secret|client_?assertion"
    "|assertion|password|passwd|user_?code|device_?code|sign_?in_?code|AccountKey|SharedAccessKey|SharedAccessSignature"
)
# The variables from which azure-identity, Azure Pipelines, managed identities and drkit's store take secrets.
_VARIABLES = (
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_PASSWORD",
    "AZURE_STORAGE_KEY",
    "SYSTEM_ACCESSTOKEN",
    "IDENTITY_HEADER",
    "MSI_SECRET",
)
# Each dotted word is matched once: a token may begin anywhere in it, and a search from every place would take quadratic time.
_DOTTED = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]++\.[A-Za-z0-9_-][A-Za-z0-9_.-]*+")
_TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]{4}")


def _without_token(match: re.Match[str]) -> str:
    text = match[0]
    token = _TOKEN.search(text, 0, text.rindex(".", 0, len(text.rstrip("."))))
    return text[: token.start()] + MARK if token else text


# No rule may need more than linear time: the text comes from others and may have any length.
_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(?i)\b(bearer|basic|sharedkey)(\s+)[A-Za-z0-9._~+/=:-]{6,}"), rf"\1\2{MARK}"),
    (_DOTTED, _without_token),
    (re.compile(rf"(?i)(\b(?:{_KEYS})\\*[\"']?\s*[:=]\s*\\*[\"'])((?:\\.|[^\"'\\])*)"), rf"\1{MARK}"),
    (re.compile(rf"(?i)\b({_KEYS})(\s*[=:]\s*)(?![\"'\\\s\[])[^&;\s\"',}}]+"), rf"\1\2{MARK}"),
    # A shared access signature, and ARM's signed polling URLs (c certificate, s signature, h hash).
    (re.compile(r"(?i)([?&](?:sig|c|s|h|code|token|skoid)=)[^&\s\"'<>]+"), rf"\1{MARK}"),
    (re.compile(r"(?i)\b(sig=)[^&\s\"'<>\[]+"), rf"\1{MARK}"),
    (re.compile(r"(?i)\b((?:enter|use) (?:the )?code:?\s+)[A-Z0-9](?:[A-Z0-9-]{4,14})[A-Z0-9]\b"), rf"\1{MARK}"),
    (re.compile(r"(?i)(https?://)[^/\s@:]+:[^/\s@]+@"), rf"\1{MARK}@"),
)


def of_environment(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets in a process's environment."""
    return tuple(environ[name] for name in _VARIABLES if environ.get(name))


def _spelt(secret: str) -> frozenset[str]:
    """The spellings of a secret: as it is, with single spaces between its words, and escaped as in JSON."""
    as_json = (json.dumps(secret, ensure_ascii=plain)[1:-1] for plain in (True, False))
    return frozenset((secret, " ".join(secret.split()), *as_json))


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` without bearer tokens, JWTs, values of keys that name secrets, signatures and sign-in codes.

    ``secrets``: texts known to be secret; each of them is replaced everywhere.
    """
    for secret in sorted((secret for secret in secrets if len(secret) >= _SHORTEST_SECRET), key=len, reverse=True):
        text = text.replace(secret, MARK)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


class Redactor:
    """``redact`` with the secrets that a session has learnt."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._fixed = frozenset(text for secret in secrets if secret for text in _spelt(secret))
        self._learnt: dict[str, frozenset[str]] = {}

    def add(self, secret: str) -> None:
        """Remember a secret; of more than 500, the newest ones."""
        if secret:
            self._learnt[secret] = self._learnt.pop(secret, frozenset()) or _spelt(secret)
            while len(self._learnt) > _MOST_LEARNT:
                del self._learnt[next(iter(self._learnt))]

    def __call__(self, text: str, most: int = LONGEST, *, words: bool = False) -> str:
        """The first ``most`` characters of ``text``, redacted; ``words``: on one line, with single spaces between words.

        A long text is cut first, so that it takes no longer than a short one. A secret that the cut divided is removed with the
        end of the part that was read.
        """
        secrets = self._fixed.union(*self._learnt.values())
        beyond = max(_LONGEST_PATTERN, *(len(secret) for secret in secrets), 0)
        window = max(_WINDOW, 4 * (most + beyond))
        part = text[:window]
        if words:
            part = " ".join(part.split())
        whole = len(text) <= window and len(part) <= most + beyond
        clean = redact(part[: most + beyond], secrets)
        return (clean if whole else clean[:-beyond])[:most]
