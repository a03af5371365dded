"""Rules for every test: no network except loopback, no settings of the user, no silent skips in CI."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_socket
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from drkit.simulator import Simulator
from tests.support import permissions

ROOT = Path(__file__).parent.parent
FOREIGN = ("DRKIT_", "TF_BUILD", "AZURE_", "AZURESUBSCRIPTION_", "IDENTITY_", "MSI_", "SYSTEM_")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


# The time of an example depends on how busy the machine is, so there is no deadline.
hypothesis_settings.register_profile("drkit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("drkit")


class NetworkBlockedError(RuntimeError):
    """A test reached out of this machine. Not an OSError, so that no client takes it for an endpoint that is down."""


class Connected(pytest_socket.SocketConnectBlockedError):
    """A connection that pytest-socket stopped, noted by the test session."""

    noted: ClassVar[list[str]] = []

    def __init__(self, allowed: list[str], host: str | None, *more: Any) -> None:
        self.noted.append(f"connect to {host}")
        super().__init__(allowed, host, *more)


def is_local(host: object) -> bool:
    """Whether a name or address is of this machine."""
    text = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else host
    if text in (None, "", "localhost") or (isinstance(text, str) and text.endswith(".localhost")):
        return True
    try:
        address = ipaddress.ip_address(str(text).partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def is_address(host: object) -> bool:
    try:
        ipaddress.ip_address(str(host))
    except ValueError:
        return False
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that take longest."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def blocked_attempts() -> list[str]:
    """Addresses that tests tried to reach; each fails its test, even if the code swallowed the error."""
    return []


@pytest.fixture(scope="session", autouse=True)
def loopback_only(blocked_attempts: list[str]) -> Iterator[None]:
    """Notes every connection that pytest-socket stops; stops every datagram and look-up that would leave this machine."""

    def stop(what: str) -> None:
        blocked_attempts.append(what)
        raise NetworkBlockedError(f"a test tried to {what}; tests reach loopback only")

    def guarded(name: str, position: int) -> Callable[..., Any]:
        original = getattr(socket.socket, name)

        def call(self: socket.socket, *args: Any) -> Any:
            address = args[position] if position >= 0 else args[-1]
            if self.family != socket.AF_UNIX and isinstance(address, tuple) and not is_local(address[0]):
                stop(f"{name} to {address[0]}:{address[1]}")
            return original(self, *args)

        return call

    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_local(host) and not is_address(host):
            stop(f"look up {host}")
        return look_up(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytest_socket, "SocketConnectBlockedError", Connected)
        patch.setattr(Connected, "noted", blocked_attempts)
        patch.setattr(socket.socket, "connect_ex", guarded("connect_ex", 0))
        patch.setattr(socket.socket, "sendto", guarded("sendto", -1))
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        for name in list(os.environ):
            if name.startswith(FOREIGN) or name.lower() in PROXIES:
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def no_swallowed_attempt(blocked_attempts: list[str]) -> Iterator[None]:
    yield
    tried, blocked_attempts[:] = list(blocked_attempts), []
    if tried:
        pytest.fail(f"a test tried to {', then to '.join(tried)}; tests reach loopback only")


@pytest.fixture(scope="session", autouse=True)
def ungranted() -> Iterator[list[str]]:
    """Every action that drkit used on a simulator of this process and that no role of drkit's grants; it fails the test."""
    found: list[str] = []
    stop = Simulator.stop

    async def stopping(self: Simulator) -> None:
        # Tests of the layers below drkit's commands send requests that no command sends.
        test = os.environ.get("PYTEST_CURRENT_TEST", "")
        if test.startswith("tests/providers/test_blob") or not test.startswith(
            ("tests/providers/", "tests/simulator/")
        ):
            found.extend(permissions.missing(self.world.record))
        await stop(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Simulator, "stop", stopping)
        yield found


@pytest.fixture(autouse=True)
def nothing_ungranted(ungranted: list[str]) -> Iterator[None]:
    yield
    told, ungranted[:] = sorted(set(ungranted)), []
    if told:
        pytest.fail(f"drkit used actions that no role in drkit/model/roles.json grants: {', '.join(told)}")


@pytest.fixture(scope="session")
def require() -> Callable[[str], str]:
    """``require("dash")`` is the tool's path; where it is absent the test skips, and with CI=true fails."""

    def find(tool: str) -> str:
        path = shutil.which(tool)
        if path is None:
            if os.environ.get("CI") == "true":
                pytest.fail(f"{tool} is not installed, and with CI=true nothing may skip for want of a tool")
            pytest.skip(f"{tool} is not installed")
        return path

    return find
