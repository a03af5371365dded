"""A real headless Chromium, driven over its DevTools protocol: pages are opened at a width, looked at, and printed."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.patience import PATIENCE

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0",
)  # fmt: skip
# What sticks out of the page, but for what stands in a box that scrolls.
LOOK = """(() => {
  const wide = document.documentElement.clientWidth, out = [];
  for (const one of document.body.querySelectorAll('*')) {
    const box = one.getBoundingClientRect();
    if (box.width && (box.right > wide + 1 || box.left < -1) && !one.closest('.scroll') && !one.closest('thead')) {
      out.push(one.tagName + ' ' + one.textContent.slice(0, 60));
    }
  }
  const body = getComputedStyle(document.body);
  return JSON.stringify({
    scroll: document.documentElement.scrollWidth, wide, out, text: document.body.innerText,
    rows: document.querySelectorAll('tbody tr').length, bars: document.querySelectorAll('.scroll rect').length,
    scripts: document.scripts.length, ink: body.color, paper: body.backgroundColor,
    titles: [...document.querySelectorAll('h2')].map(one => one.textContent),
  });
})()"""


@dataclass
class Page:
    """What a page looked like, and what it did."""

    found: dict[str, Any]
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    pdf: bytes = b""


class Browser:
    """One connection; a command waits for its answer, events are kept."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket, self.number = socket, 0
        self.events: list[dict[str, Any]] = []

    async def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        self.number += 1
        mine = self.number
        await self.socket.send_json(
            {"id": mine, "method": method, "params": params, **({"sessionId": session} if session else {})}
        )
        while True:
            told = await self._next()
            if told.get("id") == mine:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result

    async def _next(self) -> dict[str, Any]:
        told: dict[str, Any] = await self.socket.receive_json(timeout=PATIENCE)
        if "method" in told:
            self.events.append(told)
        return told

    async def until(self, method: str) -> None:
        """Until such an event came, counting those that came since ``open`` began."""
        while not any(event["method"] == method for event in self.events):
            await self._next()

    async def open(self, path: Path, width: int, *, dark: bool = False, paper: bool = False) -> Page:
        """Open a file at a width in pixels, and look at it."""
        target = await self.call("Target.createTarget", url="about:blank")
        session = str(
            (await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True))["sessionId"]
        )
        for domain in ("Page", "Network", "Log", "Runtime"):
            await self.call(f"{domain}.enable", session)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", session, features=scheme)
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            session,
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.events.clear()
        await self.call("Page.navigate", session, url=path.as_uri())
        await self.until("Page.loadEventFired")
        looked = await self.call("Runtime.evaluate", session, expression=LOOK)
        page = Page(json.loads(looked["result"]["value"]))
        for event in self.events:
            params = event["params"]
            if event["method"] == "Network.requestWillBeSent":
                page.requests.append(str(params["request"]["url"]))
            elif event["method"] == "Log.entryAdded":
                page.complaints.append(str(params["entry"]["text"]))
            elif event["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                page.complaints.append(str(params))
        if paper:
            printed = await self.call("Page.printToPDF", session, preferCSSPageSize=True, printBackground=False)
            page.pdf = base64.b64decode(printed["data"])
        await self.call("Target.closeTarget", targetId=target["targetId"])
        return page


@asynccontextmanager
async def browser(executable: str) -> AsyncIterator[Browser]:
    """Chromium from its start to its end, with a profile of its own."""
    profile = tempfile.mkdtemp(prefix="chromium-")
    process = await asyncio.create_subprocess_exec(
        executable, *FLAGS, f"--user-data-dir={profile}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port = Path(profile) / "DevToolsActivePort"
        async with asyncio.timeout(PATIENCE):
            while not (port.exists() and len(port.read_text().split()) == 2):
                assert process.returncode is None, "Chromium ended at once"
                await asyncio.sleep(0.05)
        number, path = port.read_text().split()
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(f"ws://127.0.0.1:{number}{path}", max_msg_size=0) as socket,
        ):
            yield Browser(socket)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        shutil.rmtree(profile, ignore_errors=True)


def look(executable: str, wanted: Sequence[tuple[Path, int, bool, bool]]) -> list[Page]:
    """Each page at a width, dark or light, printed or not, in one Chromium."""

    async def all_of_them() -> list[Page]:
        async with browser(executable) as chromium:
            return [await chromium.open(path, width, dark=dark, paper=paper) for path, width, dark, paper in wanted]

    return asyncio.run(all_of_them())
