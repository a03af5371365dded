"""The simulated Azure of a fuzz run, in a process of its own: its answers go through what the case at hand makes of them.

``python -m tests.scenarios.fuzz.cloud FOLDER`` serves until its standard input is closed. In FOLDER: ``ready.json``; ``case`` is read
before each answer (empty: answers stay as they are); ``secrets`` and ``strayed`` are written: the tokens that were given,
and whoever sent one to a foreign host.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from drkit.simulator import sample_seed
from drkit.simulator.core.ports import Port
from drkit.simulator.core.server import ARM_HOST
from drkit.simulator.core.state import Json
from drkit.simulator.core.wire import Answer
from tests.scenarios.fuzz.values import FOREIGN, TEXTS, broken, bytes_of, deep, mutated, odd
from tests.support.estates import World
from tests.support.patience import PATIENCE

SHARE = 0.2
"""Of the kinds of request, how many are answered oddly in one case."""
WAITS = (
    "1000000000",
    "1e300",
    "nan",
    "-5",
    "Mon, 01 Jan 99999999999 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "x",
)
HEADERS = (
    "Retry-After",
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "Location",
    "Azure-AsyncOperation",
    "x-ms-request-id",
)
QUOTAS = (
    ("x-ms-ratelimit-remaining-subscription-reads", "-1"),
    ("x-ms-ratelimit-remaining-subscription-reads", "nan"),
    ("x-ms-user-quota-remaining", "0"),
)


class Answers:
    """What the answers of one simulator are made into."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder, self.world = folder, world
        self.sent = world.simulator._send
        world.simulator._send = self.send  # type: ignore[method-assign]

    async def send(
        self, request: web.BaseRequest, fault: Json, answer: Answer, headers: dict[str, str]
    ) -> web.StreamResponse:
        case = (self.folder / "case").read_text("utf-8")
        world = self.world.simulator.world
        secrets = "\n".join([*world.tokens, *world.service_tokens])
        if len(secrets) != (self.folder / "secrets").stat().st_size:
            (self.folder / "secrets").write_text(secrets, "utf-8")
        if not case:
            return await self.sent(request, fault, answer, headers)
        kind = (
            f"{request.method} {'/'.join(part for part in request.path.split('/') if not any(map(str.isdigit, part)))}"
        )
        random = Random(f"{case}/{kind}")
        if random.random() > SHARE:
            return await self.sent(request, fault, answer, headers)
        return self._odd(random, answer, headers)

    def _odd(self, random: Random, answer: Answer, headers: dict[str, str]) -> web.Response:
        status, content = answer.status, answer.payload()
        headers = {**headers, "Content-Type": answer.content_type} if content else dict(headers)
        what = random.random()
        if what < 0.7 and answer.body is not None:
            content = bytes_of(mutated(answer.body, random))
        elif what < 0.8:
            content = random.choice(
                (
                    b"",
                    b"null",
                    b"7",
                    b"[]",
                    b"{}",
                    b'"x"',
                    bytes_of(odd(random)),
                    bytes_of(deep(500)),
                    broken(content, random),
                )
            )
        elif what < 0.9:
            name = random.choice(HEADERS)
            text = "".join(letter for letter in random.choice(TEXTS)[:4000] if " " <= letter < "\x7f")
            headers[name] = random.choice(WAITS) if "etry" in name else text
            if random.random() < 0.3:
                headers.update([random.choice(QUOTAS)])
                headers["x-ms-user-quota-resets-after"] = "99999:00:00"
        else:
            status = random.choice((201, 202, 204, 206, 299, 302, 307, 400, 401, 403, 404, 409, 418, 429, 500, 503))
            headers.setdefault("Location", random.choice((f"https://{FOREIGN}/x", "https://[", "", "/", "x" * 3000)))
            headers.setdefault("Retry-After", random.choice(WAITS))
        headers = {name: value for name, value in headers.items() if value.isprintable()}
        return web.Response(status=status, body=content if status != 204 else None, headers=headers)


async def stray(folder: Path, request: web.BaseRequest) -> web.Response:
    """What the foreign host does: it notes who brings a token, and says yes."""
    with (folder / "strayed").open("a", encoding="utf-8") as stream:
        token = "authorization" in {name.lower() for name in request.headers}
        stream.write(json.dumps({"method": request.method, "path": request.path, "token": token}) + "\n")
    return web.Response(body=b"{}", content_type="application/json")


def main(folder: Path) -> None:
    """Serve."""
    import asyncio
    import logging

    # What it cannot read, it says to drkit; its log of that is nobody's.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)

    for name in ("case", "secrets", "strayed"):
        (folder / name).touch()
    world = World(folder, sample_seed(1))
    Answers(folder, world)

    async def open_foreign() -> None:
        simulator = world.simulator
        main_port: Any = simulator.ports[ARM_HOST]
        port = Port(FOREIGN, None, partial(stray, folder), main_port._tls)
        await port.open()
        simulator.ports[FOREIGN] = port

    asyncio.run_coroutine_threadsafe(open_foreign(), world._loop).result(PATIENCE)
    facts = world.simulator.ready
    temporary = folder / "ready.tmp"
    temporary.write_text(json.dumps({**facts, "pid": os.getpid()}), "utf-8")
    temporary.chmod(0o600)
    temporary.rename(folder / "ready.json")
    print("ready", flush=True)
    for line in sys.stdin:
        said = json.loads(line)
        world.control(said.pop("name"), **said)
        print("done", flush=True)
    world.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
