"""The simulated cloud on loopback: HTTPS in, a handler of the route table, Azure's headers out."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from drkit.simulator.arm import governance, identity, write_rules
from drkit.simulator.core import control, tls
from drkit.simulator.core.clock import precise
from drkit.simulator.core.faults import EFFECT, Faults
from drkit.simulator.core.ports import Port
from drkit.simulator.core.routing import (
    ARM,
    AUTHORITY,
    AUTOMATION,
    Call,
    Route,
    RouteTable,
    plane_of,
    routes,
    service_hosts,
)
from drkit.simulator.core.seed import build
from drkit.simulator.core.stale_lists import Cache
from drkit.simulator.core.state import Json
from drkit.simulator.core.throttle import RateLimiter
from drkit.simulator.core.wire import Answer, ArmError, Hang, check_api_version, parse_id
from drkit.simulator.hybrid_worker import model

ARM_HOST, LOGIN_HOST = "management.azure.com", "login.microsoftonline.com"
ARM_REGION = "northeurope"
"""The region of the Resource Manager that answers: it has token buckets for each region."""
FAULT_CODES = {429: "TooManyRequests", 502: "BadGateway", 503: "ServiceUnavailable", 504: "GatewayTimeout"}
HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


class Simulator:
    """Azure on loopback, filled from a seed.

    ``host_scripts``: SHA-256 of a script's text -> the name of the script the hosts act out. ``port``: of the main host
    (0: any). ``speed``: simulated seconds a real second, at most 60. ``folder``: where the CA's certificate is written.
    Raises ``drkit.errors.FileError`` for a seed that is none, ValueError for a speed out of bounds.
    """

    def __init__(
        self,
        seed: Json,
        *,
        host_scripts: Mapping[str, str] | None = None,
        port: int = 0,
        speed: float = 1.0,
        folder: Path,
    ) -> None:
        self.world = build(seed, speed, dict(host_scripts or {}))
        self.faults = Faults()
        self.cache = Cache()
        self.throttle = RateLimiter()
        self.ports: dict[str, Port] = {}
        self._folder = folder
        self._port = port
        self._table = RouteTable(routes())
        self._bundle: Path | None = None
        self.token = secrets.token_urlsafe(32)

    async def start(self) -> None:
        """Serve. OSError if the port is taken."""
        self._folder.mkdir(parents=True, exist_ok=True)
        context, self._bundle = tls.make(self._folder)
        main = Port(ARM_HOST, None, partial(self._answer, ARM_HOST), context)
        await main.open(self._port)
        self.ports[ARM_HOST] = main
        for host, region in service_hosts().items():
            self.ports[host] = Port(host, region, partial(self._answer, host), context)
            await self.ports[host].open()

    async def stop(self) -> None:
        """Close every port; connections are cut."""
        for port in self.ports.values():
            await port.close()

    @property
    def address(self) -> str:
        """Host and port of the Resource Manager and of the control interface."""
        return urlsplit(self.ports[ARM_HOST].url).netloc

    @property
    def ready(self) -> Json:
        """What a program needs to use this cloud, for the ready file."""
        main = self.ports[ARM_HOST].url
        world = self.world
        by_role = {caller.role: caller for caller in world.principals.values()}
        owner = by_role["owner"]
        return {
            "arm": main,
            "authority": main,
            "ca_bundle": str(self._bundle),
            "tenant": world.tenant,
            "client_id": owner.client_id,
            "client_secret": owner.secret,
            "principals": {
                role: {
                    "client_id": principal.client_id,
                    "client_secret": principal.secret,
                    "object_id": principal.object_id,
                }
                for role, principal in by_role.items()
            },
            "subscriptions": [subscription.id for subscription in world.subscriptions.values()],
            "services": {host: port.url for host, port in self.ports.items() if host != ARM_HOST}
            | {host: self.ports[served].url for host, served in model.aliases(world).items()},
            "control": f"{main}{control.PREFIX}/{self.token}",
            "pid": os.getpid(),
            "clock": world.clock.public(),
        }

    # a request's way through

    async def _answer(self, host: str, request: web.BaseRequest) -> web.StreamResponse:
        content = await request.read()
        self.world.advance()
        if host == ARM_HOST and request.path.startswith(control.PREFIX + "/"):
            return await control.answer(self, request, content)
        planes = (ARM, AUTHORITY) if host == ARM_HOST else (plane_of(host),)
        match = self._table.find(planes, request.method, request.path)
        route, caught = match or (None, {})
        call = self._call(host, request, caught)
        if route is not None and route.plane == AUTHORITY:
            call.host = LOGIN_HOST
        line = self._line(call, route)
        headers: dict[str, str] = {}
        try:
            _read(call, content)
            answer = await self._carry_out(request, call, route, line, headers)
        except ArmError as error:
            answer = error.answer()
        except Hang:
            await asyncio.Event().wait()
            raise
        # What was cut off before it was carried out has no status: nobody gave one.
        line["status"] = None if call.fault.get("drop") == "before" else answer.status
        line.update(call.note)
        headers = self._headers(call, line) | headers | answer.headers
        return await self._send(request, call.fault, answer, headers)

    def _call(self, host: str, request: web.BaseRequest, caught: dict[str, str]) -> Call:
        return Call(
            world=self.world,
            method=request.method,
            host=host,
            raw_path="/" + "/".join(part for part in request.path.split("/") if part),
            query=dict(request.query),
            headers=request.headers,
            base=self.ports[host].url,
            path=caught,
            bearer=request.headers.get("Authorization", "").partition(" ")[2],
        )

    def _line(self, call: Call, route: Route | None) -> Json:
        """The request's line in the record, written when it arrives."""
        holder = self.world.tokens.get(call.bearer)
        granted = self.world.service_tokens.get(call.bearer, {})
        line: Json = {
            "n": len(self.world.record) + 1,
            "time": precise(self.world.now()),
            "method": call.method,
            "host": call.host,
            "path": call.raw_path,
            "query": call.query,
            "principal": holder[0].role if holder else granted.get("role"),
            "status": None,
            "kind": route.effect if route else "read" if call.method in ("GET", "HEAD") else "write",
            "route": route.pattern if route else None,
            "agent": call.headers.get("User-Agent", ""),
            "script": None,
            "subject": None,
            "fault": None,
            "operation": None,
        }
        self.world.record.append(line)
        return line

    async def _carry_out(
        self, request: web.BaseRequest, call: Call, route: Route | None, line: Json, headers: dict[str, str]
    ) -> Answer:
        url = f"https://{call.host}{request.path_qs}"
        call.fault = fault = self.faults.find(self.world.now(), call.method, url, line["principal"] or "")
        line["fault"] = {name: fault[name] for name in EFFECT if name in fault} or None
        if fault.get("delay"):
            await asyncio.sleep(self.world.clock.wall(fault["delay"]))
            self.world.advance()
        if fault.get("hang"):
            raise Hang
        if fault.get("drop") == "before":
            return Answer()
        if fault.get("status") and not (fault.get("html") or fault.get("lro")):
            more = {"Retry-After": str(fault["retry_after"])} if "retry_after" in fault else {}
            code = str(fault.get("code") or FAULT_CODES.get(fault["status"], "InternalServerError"))
            raise ArmError(fault["status"], code, fault.get("message", code), more | fault.get("headers", {}))
        if route is None:
            raise ArmError(404, "NotFound", f"The simulator serves no {call.method} {call.raw_path}.")
        if route.plane == ARM:
            call.caller = identity.authenticate(self.world, request.headers.get("Authorization", ""))
            subscription = call.path.get("subscription", "")
            headers.update(
                self.throttle.take(self.world.now(), subscription, call.caller.object_id, ARM_REGION, call.method)
            )
            check_api_version(call.query)
            if subscription:
                write_rules.subscription(call)
            parsed = parse_id(call.raw_path)
            call.action = route.action.replace("{type}", parsed.type if parsed else "")
            identity.authorize(call)
            governance.obey(call)
        answer = route.handler(call)
        if route.plane != ARM:
            return answer
        self.cache.note(self.world.now(), call.method, call.raw_path, answer)
        if call.method != "GET" or not self.faults.lagging:
            return answer
        shown = self.cache.listed(self.world.now(), call.raw_path, answer, float(fault.get("stale", 0.0)))
        if shown is not answer:
            call.note["behind"] = True
        return shown

    def _headers(self, call: Call, line: Json) -> dict[str, str]:
        request_id = self.world.named_id("request", str(line["n"]))
        if call.host not in (ARM_HOST, LOGIN_HOST):
            name = "x-ms-request-id" if plane_of(call.host) == AUTOMATION else "vssaas-request-id"
            return {name: request_id}
        stamp = self.world.now().strftime("%Y%m%dT%H%M%SZ")
        return {
            "Cache-Control": "no-cache",
            "x-ms-request-id": request_id,
            "x-ms-correlation-request-id": call.headers.get("x-ms-correlation-request-id", request_id),
            "x-ms-routing-request-id": f"{ARM_REGION.upper()}:{stamp}:{request_id}",
        }

    async def _send(
        self, request: web.BaseRequest, fault: Json, answer: Answer, headers: dict[str, str]
    ) -> web.StreamResponse:
        if fault.get("drop") and request.transport is not None:
            request.transport.abort()
        if fault.get("html"):
            status, content, kind = int(fault.get("status", 502)), HTML.encode(), "text/html"
        else:
            status, content, kind = answer.status, answer.payload(), answer.content_type
        if content:
            headers["Content-Type"] = kind
        if not fault.get("truncate"):
            return web.Response(status=status, body=content or None, headers=headers)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(content)
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        if request.transport is not None:
            request.transport.close()
        return response


def _read(call: Call, content: bytes) -> None:
    """Parse the body, a form or JSON."""
    try:
        if "x-www-form-urlencoded" in call.headers.get("Content-Type", ""):
            call.form = dict(parse_qsl(content.decode()))
        elif content:
            call.body = json.loads(content)
    except ValueError as error:
        raise ArmError(400, "InvalidRequestContent", f"The request content was invalid: {error}") from error
