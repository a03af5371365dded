"""Fixtures: the server, a clock that does not wait, and sessions whose guard allows everything or only reads."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drkit.products import reading_posts
from drkit.providers.session import Session
from tests.support.https_server import FakeClock, Server, anything, certificates, cloud_of, reading


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def server(certificate: tuple[ssl.SSLContext, Path]) -> AsyncIterator[Server]:
    running = Server(*certificate)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def session(server: Server, clock: FakeClock) -> AsyncIterator[Session]:
    async with Session(cloud_of(server), clock=clock, guard=anything, reads=reading_posts()) as opened:
        yield opened


@pytest.fixture
async def reader(server: Server, clock: FakeClock) -> AsyncIterator[Session]:
    async with Session(cloud_of(server), clock=clock, guard=reading(), reads=reading_posts()) as opened:
        yield opened
