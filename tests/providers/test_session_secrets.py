"""No error and no log has a secret, even at the most verbose level."""

from __future__ import annotations

import logging
import traceback

import pytest

from drkit.errors import CloudError
from drkit.model.host_scripts import HostScript
from drkit.model.operation import Operation
from drkit.products import reading_posts
from drkit.providers.guard import ReadingPosts
from drkit.providers.session import Session
from tests.support.https_server import REGION_HOST, SECRET, SUB, Answer, FakeClock, Server, anything, cloud_of

PLAN_TOKEN = "plan-access-token-of-some-length"
VM = f"/subscriptions/{SUB}/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v"
SCRIPT = HostScript("probe", "echo script-text-not-for-logs\n", "0", ("drkit_x",))
READS = ReadingPosts(reading_posts().actions, frozenset({SCRIPT.sha256}))


async def test_no_secret_reaches_a_log_or_an_error(
    server: Server, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "azure")
    caplog.set_level(logging.DEBUG, "msal")
    echo = {"error": {"code": "Bad", "message": f"token {PLAN_TOKEN}, secret {SECRET}, sig=abcdef0123456789"}}
    server.on("POST", "/readAllEnvironments$", Answer(json={"accessToken": PLAN_TOKEN}))
    server.on("GET", "^/weu/", Answer(401, json=echo))
    server.on("*", "/thing", Answer(400, json=echo))
    server.on("GET", "/op$", Answer(400, json=echo))
    server.on("POST", "/runCommand$", Answer(503, json=echo))
    texts: list[str] = []

    async def fails(call: object) -> None:
        with pytest.raises(CloudError) as caught:
            await call  # type: ignore[misc]
        texts.append("".join(traceback.format_exception(caught.value)) + str(caught.value.__dict__))

    async with Session(cloud_of(server), clock=clock, guard=anything, reads=READS) as session:
        plan = f"/subscriptions/{SUB}/resourceGroups/g/providers/Microsoft.VSOnline/plans/p"
        minted = await session.rest.request("POST", f"{plan}/readAllEnvironments")
        assert minted.body == {"accessToken": PLAN_TOKEN}
        await fails(session.rest.request("GET", f"/subscriptions/{SUB}/thing", params={"sig": "abcdef0123456789"}))
        await fails(session.rest.request("GET", f"https://{REGION_HOST}/api", token=PLAN_TOKEN))
        await fails(
            session.rest.poll(Operation("PUT", f"{server.url}/op?sig=abcdef0123456789", "azure-async-operation"))
        )
        await fails(session.compute.run_command(VM, SCRIPT, {"drkit_x": "value"}))
        server.on(
            "POST", "oauth2/v2.0/token$", Answer(401, json={"error": "x", "error_description": f"AADSTS1: {SECRET}"})
        )
        server.on("GET", "/other", Answer(401))
        await fails(session.rest.request("GET", f"/subscriptions/{SUB}/other"))
        arm_token = server.calls("POST", "runCommand")[0].token
    assert len(texts) == 5
    log = caplog.text
    assert "drkit.providers" in log
    for secret in (PLAN_TOKEN, SECRET, arm_token, "abcdef0123456789", "script-text-not-for-logs"):
        assert all(secret not in text for text in texts), secret
        assert secret not in log, secret
