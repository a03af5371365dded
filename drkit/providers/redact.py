"""Takes secrets out of a text before it becomes an error, a log line or a report. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping

MARK = "[redacted]"
LONGEST = 4096
"""Characters of a redacted text, where nobody asks for fewer."""
_WINDOW = 65_536
_LONGEST_PATTERN = 256  # a password in an address and a code are shorter
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
# Dotted words, each taken once: a token may begin anywhere in one, and to look for its end from each place would be quadratic.
_DOTTED = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]++\.[A-Za-z0-9_-][A-Za-z0-9_.-]*+")
_TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]{4}")


def _without_token(found: re.Match[str]) -> str:
    text = found[0]
    token = _TOKEN.search(text, 0, text.rindex(".", 0, len(text.rstrip("."))))
    return text[: token.start()] + MARK if token else text


# No rule may look again and again at the same characters: what comes in is other people's text, of any length.
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

    def __call__(self, text: str, most: int = LONGEST, *, words: bool = False) -> str:
        """``text`` redacted, its first ``most`` characters; ``words``: on one line, a space between words.

        A long text is cut before it is looked at, so that it takes no longer than a short one. What a cut may have left of a
        secret goes with the end of what was looked at.
        """
        known = self._fixed.union(*self._learnt.values())
        beyond = max(_LONGEST_PATTERN, *(len(secret) for secret in known), 0)
        window = max(_WINDOW, 4 * (most + beyond))
        looked_at = text[:window]
        if words:
            looked_at = " ".join(looked_at.split())
        whole = len(text) <= window and len(looked_at) <= most + beyond
        clean = redact(looked_at[: most + beyond], known)
        return (clean if whole else clean[:-beyond])[:most]
