"""Every secret is removed from a text, and nothing else is."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkit.providers.redact import MARK, Redactor, of_environment, redact

JWT = "eyJhbGciOiJub25lIn0.eyJvaWQiOiJvIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"Authorization: Bearer {JWT}", JWT),
        ("authorization: bearer abcdef0123456789==", "abcdef0123456789"),
        (f"token {JWT} was refused", JWT),
        (f'{{"accessToken": "{JWT}", "x": 1}}', JWT),
        ('{"accessToken":"opaque-value-1"}', "opaque-value-1"),
        ('{\\"access_token\\": \\"opaque-value-2\\"}', "opaque-value-2"),
        ("{'client_secret': 'v3ry~secret'}", "v3ry~secret"),
        ("client_secret=v3ry~secret&grant_type=x", "v3ry~secret"),
        ("password: hunter2222", "hunter2222"),
        ("https://x.blob.core.windows.net/c/b?sv=1&sig=AbC%2F123%3D&se=2", "AbC%2F123%3D"),
        ("op?api-version=1&t=638&c=MIIHhz&s=qwertysig&h=hashhash", "qwertysig"),
        (
            "To sign in, open https://microsoft.com/devicelogin and enter the code ABCD2345E to authenticate.",
            "ABCD2345E",
        ),
        ("use code ABCD-1234", "ABCD-1234"),
        ("user_code=QWERTYUIO", "QWERTYUIO"),
        ("https://user:pa55word@example.org/x", "pa55word"),
        ("DefaultEndpointsProtocol=https;AccountKey=abc123==;EndpointSuffix=x", "abc123"),
        ("sessionToken: 'sess-0001'", "sess-0001"),
        (f"x-{JWT}", JWT),
        (f"a.b.{JWT}.", JWT),
        (f"-eyJ-eyJabcd-{JWT}", JWT),
        ('{\\\\\\"password\\\\\\": \\\\\\"hunter2222', "hunter2222"),
    ],
)
def test_a_secret_is_removed(text: str, secret: str) -> None:
    clean = redact(text)
    assert secret not in clean
    assert MARK in clean
    assert redact(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "PUT https://management.azure.com/subscriptions/s/resourceGroups/g?api-version=2025-04-01 (409): Conflict",
        "the access token is from the wrong issuer",
        "The client 'c' with object id 'o' does not have authorization to perform action 'a/read' over scope '/s'.",
        "code: AuthorizationFailed",
        "Message code 2: EnvironmentNameAlreadyExists",
    ],
)
def test_other_text_is_unchanged(text: str) -> None:
    assert redact(text) == text


letters = "ab1~-_.:=&?/ "


@given(st.text("abc1~-_.", min_size=4, max_size=12), st.text(letters, max_size=20), st.text(letters, max_size=20))
def test_what_a_session_knows_to_be_secret_never_comes_through(secret: str, before: str, after: str) -> None:
    assert secret not in redact(f"{before}{secret}{after}{secret}", [secret])


def test_only_the_newest_learnt_secrets_are_kept_and_the_configured_ones_always() -> None:
    known = Redactor(["given-secret"])
    for number in range(2000):
        known.add(f"learnt-{number:04}")
    assert known("given-secret learnt-1999") == f"{MARK} {MARK}"
    assert len(known._learnt) == 500


def test_longer_secrets_are_removed_first_and_very_short_ones_stay() -> None:
    known = Redactor(["abcdef", "abcdefghi", "a", ""])
    assert known("xabcdefghix and a") == f"x{MARK}x and a"
    known.add("other!")
    assert known("other!") == MARK


def test_a_session_knows_its_secrets_as_json_and_in_joined_words_too() -> None:
    known = Redactor()
    known.add('line one\n  "line" två')
    assert known('said: line one "line" två') == f"said: {MARK}"
    assert known(json.dumps({"a": 'line one\n  "line" två'})) == f'{{"a": "{MARK}"}}'


def test_the_secrets_of_the_environment_are_known() -> None:
    environment = {
        "AZURE_CLIENT_SECRET": "one-secret",
        "SYSTEM_ACCESSTOKEN": "two-secret",
        "AZURE_STORAGE_KEY": "",
        "PATH": "/bin",
    }
    assert set(of_environment(environment)) == {"one-secret", "two-secret"}


# linear, and bounded

PUMPED = [
    "\\", "-eyJ", "eyJaaaa", "eyJaaaa-", "eyJaaaa.", ".eyJ", "a.", "bearer ", "bearer\t", "password", "password\\", "password =",
    'password="\\', "password ", "'password'", "https://a:", "https://a", "http://", "enter the code ", "use code: ", "?sig=", "sig=",
    "&c=", "id_token", '"', "'", "=", " ", "token=", "Bearer-",
]  # fmt: skip


@pytest.mark.parametrize("pump", PUMPED)
def test_no_text_takes_more_than_its_length(pump: str) -> None:
    """By the CPU time of this thread, which no other process adds to. A rule that is quadratic would take minutes."""
    for before in ("", "password", "eyJaaaa", "https://a:b", "password: '"):
        text = before + pump * (100_000 // len(pump))
        began = time.thread_time()
        redact(text)
        assert time.thread_time() - began < 10
        began = time.thread_time()
        Redactor(["a-secret" * 40])(text * 10)
        assert time.thread_time() - began < 2


def test_a_long_text_is_cut_before_it_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def looking(text: str, _known: object) -> str:
        seen.append(len(text))
        return text

    monkeypatch.setattr("drkit.providers.redact.redact", looking)
    known = Redactor(["s" * 1000])
    for most, words in ((600, True), (4096, False)):
        assert len(known("x y " * 500_000, most, words=words)) == most
    assert seen == [1600, 5096]


@given(
    st.sampled_from(
        ["known-secret-" + "k" * 60, f"Bearer {JWT}", "https://me:" + "p" * 40 + "@host/", "client_secret=" + "c" * 50]
    ),
    st.integers(0, 400),
    st.integers(300, 900),
    st.sampled_from(["word ", " ", "\n", "x", "Bearer aaaaaaaaaaaaaaaaaaaaaaaaaaaa "]),
)
def test_no_cut_leaves_half_a_secret(secret: str, back: int, most: int, filling: str) -> None:
    """Wherever the end of what is shown, or of what is looked at, falls within a secret."""
    known = Redactor(["known-secret-" + "k" * 60])
    value = secret.rpartition(" ")[2].rpartition("=")[2].removeprefix("https://me:").removesuffix("@host/")
    for end in (most, most + 256, 65_536):
        room = max(0, end - back)
        text = (filling * (room // len(filling) + 1))[:room] + " " + secret + " and more " * 2000
        for words in (True, False):
            shown = known(text, most, words=words)
            assert len(shown) <= most
            assert value[:12] not in shown, (end, back)
