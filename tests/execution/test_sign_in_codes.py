"""What a host says of a sign-in is judged, and only this user's processes tell each other the codes."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drkit.cli.views import status
from drkit.errors import RefusedError
from drkit.execution import sign_in_codes
from drkit.model import cloud as clouds
from drkit.model import sign_in
from drkit.model.sign_in import SignIn
from tests.support.patience import PATIENCE

PUBLIC = "https://login.microsoftonline.com"
STRANGER = 4001
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.mark.parametrize(
    ("page", "authority"),
    [
        ("https://microsoft.com/devicelogin", PUBLIC),
        ("https://Microsoft.com/devicelogin/", PUBLIC),
        ("https://github.com/login/device", PUBLIC),
        ("https://microsoft.com/deviceloginus", "https://login.microsoftonline.us"),
        ("https://microsoft.com/deviceloginchina", "https://login.chinacloudapi.cn/"),
        ("https://microsoft.com/devicelogin", "https://127.0.0.1:4001"),
    ],
)
def test_a_known_page_is_shown_and_the_code_said_to_be_the_hosts(page: str, authority: str) -> None:
    found = sign_in.judge("ABCD1234E", page, authority)
    assert found == SignIn("ABCD1234E", page.lower().rstrip("/"))
    assert found.words == (
        f"the host asks for a sign-in: open {found.url} and enter ABCD1234E (page and code are from the host)"
    )


@pytest.mark.parametrize(
    "page",
    [
        "", "https://", "https://login.attacker.example/device", "http://microsoft.com/devicelogin",
        "https://microsoft.com@attacker.example/devicelogin", "https://microsoft.com:444/devicelogin",
        "https://microsoft.com.attacker.example/devicelogin", "https://microsoft.com/devicelogin?next=https://attacker.example",
        "https://microsoft.com/devicelogin#x", "https://login.microsoftonline.com/common/oauth2/authorize?client_id=x",
        "https://microsoft.com/deviceloginus", "https://microsoft.com/devicelogin\x1b]8;;https://attacker.example\x07",
        "https://m\u0456crosoft.com/devicelogin", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_no_other_page_is_shown_and_no_code_for_it(page: str) -> None:
    found = sign_in.judge("ABCD1234E", page, PUBLIC)
    assert (found.code, found.url) == ("", "")
    assert "look at the host before anybody signs in" in found.words
    assert "attacker" not in found.words
    assert "://" not in found.words


@pytest.mark.parametrize(
    "code", ["", "ABC", "abcd1234e", "A" * 13, "ABCD 1234", "ABCD1234\n", "\x1b[31mABCD12", "https://x.y"]
)
def test_what_has_not_the_shape_of_a_code_is_not_shown(code: str) -> None:
    found = sign_in.judge(code, "https://microsoft.com/devicelogin", PUBLIC)
    assert (found.code, found.url) == ("", "")
    assert "its code does not look like one" in found.words
    assert sign_in.judge("ABCD-1234", "https://github.com/login/device", PUBLIC).code == "ABCD-1234"


def test_every_named_cloud_has_its_pages() -> None:
    hosts = {one["authority"].removeprefix("https://") for one in clouds.NAMED.values()}
    assert hosts == set(sign_in.PAGES)


# the socket


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name, that others may enter."""
    with tempfile.TemporaryDirectory(prefix="drk") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_without_a_runtime_folder_the_socket_is_in_the_users_own_cache(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(short))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    store = short / "store"
    assert sign_in_codes.socket_path(store, "run-0001").parent == short / ".cache" / "drkit" / "codes"
    monkeypatch.setenv("XDG_CACHE_HOME", str(short / "c"))
    assert sign_in_codes.socket_path(store, "run-0001").parent == short / "c" / "drkit" / "codes"
    runtime = short / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert sign_in_codes.socket_path(store, "run-0001").parent == runtime / f"drkit-{os.getuid()}"
    runtime.chmod(0o1777)  # a shared folder is no runtime folder
    assert sign_in_codes.socket_path(store, "run-0001").parent == short / "c" / "drkit" / "codes"


async def test_the_holder_shows_its_codes_to_its_own_user(short: Path) -> None:
    path = short / "own" / "x.sock"
    async with sign_in_codes.Codes(path) as holder:
        assert holder.show("a", SignIn("ABCD1234E", "https://microsoft.com/devicelogin"))
        assert not holder.show("a", SignIn("ABCD1234E", "https://microsoft.com/devicelogin"))
        assert holder.show("b", SignIn(warning="names no page"))
        found = await asyncio.to_thread(sign_in_codes.ask, path, "run-0001", "me")
    assert [(one["step"], one["code"]) for one in found] == [("a", "ABCD1234E"), ("b", "")]
    assert [line.partition(":")[0] for line in status.codes(found)] == ["a", "b"]
    assert not path.exists()


@contextmanager
def stranger(act: Callable[[], None]) -> Iterator[multiprocessing.process.BaseProcess]:
    """Another user, who carries something out in a process of their own."""

    def become() -> None:
        os.setgroups([])
        os.setgid(STRANGER)
        os.setuid(STRANGER)
        act()

    process = multiprocessing.get_context("fork").Process(target=become)
    process.start()
    try:
        yield process
    finally:
        process.terminate()
        process.join(30)


PHISHING = json.dumps([{"step": "a", "code": "ATTACKER1", "url": "https://login.attacker.example/device"}]).encode()


@as_root
@pytest.mark.parametrize("whose", ["folder", "process"])
def test_another_users_process_in_the_holders_place_is_not_believed(short: Path, whose: str) -> None:
    folder = short / "drkit"
    folder.mkdir(mode=0o700)
    path = folder / "x.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        if whose == "folder":
            os.chown(folder, STRANGER, STRANGER)

        # Who listens is who called listen, so the socket is handed to a process of the other user.
        read, write = os.pipe()

        def listen() -> None:
            server.settimeout(PATIENCE)
            server.listen()
            os.write(write, b"x")
            connection, _ = server.accept()
            connection.sendall(PHISHING)
            connection.close()

        with stranger(listen):
            os.read(read, 1)
            with pytest.raises(RefusedError) as refused:
                sign_in_codes.ask(path, "run-0001", "me")
        if whose == "process":
            assert "another user's process listens in place of run-0001" in refused.value.what
        assert "ATTACKER1" not in f"{refused.value} {refused.value.remedy}"
        os.close(read)
        os.close(write)


@as_root
async def test_the_holder_shows_no_codes_to_other_users(short: Path) -> None:
    path = short / "own" / "x.sock"
    async with sign_in_codes.Codes(path) as holder:
        holder.show("a", SignIn("ABCD1234E", "https://microsoft.com/devicelogin"))
        path.parent.chmod(0o711)  # as if the folder's mode were all there is
        path.chmod(0o666)
        heard = short / "heard"
        heard.touch()
        heard.chmod(0o666)

        def listen() -> None:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(str(path))
                with heard.open("wb") as file:
                    file.write(b"[" + connection.recv(4096) + b"]")

        with stranger(listen) as process:
            await asyncio.to_thread(process.join, 30)
    assert heard.read_bytes() == b"[]"


@pytest.mark.parametrize("kind", ["link", "shared", "file"])
async def test_a_folder_that_is_not_ones_own_alone_is_not_used(short: Path, kind: str) -> None:
    folder = short / "drkit"
    if kind == "link":
        (short / "else").mkdir(mode=0o700)
        folder.symlink_to(short / "else")
    elif kind == "shared":
        folder.mkdir()
        folder.chmod(0o777)
    else:
        folder.touch(mode=0o600)
    async with sign_in_codes.Codes(folder / "x.sock") as holder:
        holder.show("a", SignIn("ABCD1234E", "https://microsoft.com/devicelogin"))
        assert not any(stat.S_ISSOCK(one.lstat().st_mode) for one in short.rglob("*"))
        with pytest.raises(RefusedError, match="only on the machine that runs it"):
            sign_in_codes.ask(folder / "x.sock", "run-0001", "me")


async def test_a_value_that_is_not_a_list_of_codes_counts_as_none(short: Path) -> None:
    (short / "own").mkdir(mode=0o700)
    path = short / "own" / "x.sock"
    for said in (b"", b"[1]", b"{", b'[{"step":1}]', b"[[]]", b"\xff" * 200_000):

        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes = said) -> None:
            writer.write(said)
            writer.close()

        server = await asyncio.start_unix_server(answer, path=str(path))
        assert await asyncio.to_thread(sign_in_codes.ask, path, "run-0001", "me") == []
        server.close()
        await server.wait_closed()
        path.unlink(missing_ok=True)
