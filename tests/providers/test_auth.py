"""Where tokens come from, when they are renewed, and the error when there is none."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drkit.errors import (
    CredentialError,
    ForbiddenError,
    GuardError,
)
from drkit.model.cloud import Principal, public
from drkit.providers import auth
from drkit.providers.session import Session
from tests.support.https_server import (
    CLIENT,
    REGION_HOST,
    SECRET,
    SUB,
    TENANT,
    Answer,
    FakeClock,
    Seen,
    Server,
    cloud_of,
    reading,
)

OK = Answer(json={"fine": True})
URL = f"/subscriptions/{SUB}/thing"


# Tokens


async def test_one_token_serves_all_requests(server: Server, session: Session) -> None:
    server.on("GET", "/thing", OK)
    await asyncio.gather(*(session.rest.request("GET", URL) for _ in range(8)))
    await session.rest.request("GET", URL)
    assert server.tokens_given == 1
    assert len({call.token for call in server.calls("GET", "/thing")}) == 1


async def test_a_token_that_expires_midway_is_renewed_once(server: Server, session: Session) -> None:
    good: set[str] = set()

    def strict(seen: Seen) -> Answer:
        return OK if seen.token in good else Answer(401, json={"error": {"code": "ExpiredAuthenticationToken"}})

    server.on("*", "/thing", OK)
    await session.rest.request("GET", URL)
    old = server.calls("GET", "/thing")[0].token
    server.on("*", "/thing", strict)

    def mint(seen: Seen) -> Answer:
        answer = server._token(seen)
        good.add(answer.json["access_token"])
        return answer

    server.on("POST", "oauth2/v2.0/token$", mint)
    results = await asyncio.gather(*(session.rest.request("GET", URL) for _ in range(6)))
    await session.rest.request("POST", URL, json={"once": True})
    assert all(result.status == 200 for result in results)
    assert server.tokens_given == 2
    assert {call.token for call in server.calls("POST", "/thing")} == good
    assert old not in good


async def test_a_write_refused_with_401_is_sent_again_with_the_new_token(server: Server, session: Session) -> None:
    server.on("POST", "/thing", Answer(401), OK)
    await session.rest.request("POST", URL, json={"once": True})
    first, second = server.calls("POST", "/thing")
    assert first.token != second.token
    assert first.body == second.body


async def test_a_token_refused_twice_is_an_error(server: Server, session: Session) -> None:
    body = {
        "error": {"code": "InvalidAuthenticationTokenTenant", "message": "The access token is from the wrong issuer"}
    }
    server.on("GET", "/thing", Answer(401, json=body))
    with pytest.raises(CredentialError, match="wrong issuer") as caught:
        await session.rest.request("GET", URL)
    assert len(server.calls("GET", "/thing")) == 2
    assert (caught.value.status, caught.value.code) == (401, "InvalidAuthenticationTokenTenant")
    assert "tenant" in caught.value.remedy


async def test_a_short_lived_token_is_renewed_before_it_expires(server: Server, session: Session) -> None:
    server.token_expires_in = 1
    server.on("GET", "/thing", OK)
    await session.rest.request("GET", URL)
    await asyncio.sleep(1.1)
    await session.rest.request("GET", URL)
    first, second = server.calls("GET", "/thing")
    assert first.token != second.token


async def test_a_claims_challenge_is_answered(server: Server, session: Session) -> None:
    challenge = 'Bearer authorization_uri="x", error="insufficient_claims", claims="eyJhIjoxfQ"'
    server.on("GET", "/thing", Answer(401, headers={"WWW-Authenticate": challenge}), OK)
    await session.rest.request("GET", URL)
    asked = [call for call in server.seen if "oauth2" in call.path][-1]
    assert b"claims=%7B%22a%22%3A+1%7D" in asked.body or b"claims=%7B%22a%22%3A1%7D" in asked.body


async def test_a_products_own_token_is_not_renewed(server: Server, session: Session) -> None:
    server.on("GET", "/weu/api", Answer(401))
    with pytest.raises(ForbiddenError) as caught:
        await session.rest.request("GET", f"https://{REGION_HOST}/api", token="plan-token-1")
    assert caught.value.status == 401
    assert len(server.seen) == 1
    assert server.tokens_given == 0


async def test_arms_token_goes_to_arm_only(server: Server, session: Session) -> None:
    with pytest.raises(GuardError, match="ARM's token goes to"):
        await session.rest.request("GET", f"https://{REGION_HOST}/api")
    assert server.seen == []


def test_regions_of_public_arm_are_arm() -> None:
    policy = auth.AuthPolicy(None, "https://management.azure.com", regional=True)  # type: ignore[arg-type]
    assert policy.trusts("https://management.azure.com/x")
    assert policy.trusts("https://westeurope.management.azure.com/x")
    assert not policy.trusts("https://westeurope.management.azure.com:8443/x")
    assert not policy.trusts("http://management.azure.com/x")
    assert not policy.trusts("https://evilmanagement.azure.com/x")
    assert not policy.trusts("https://management.azure.com.evil.example/x")


# Credentials


def entra(error: str, description: str) -> Answer:
    return Answer(400, json={"error": error, "error_description": description, "error_codes": [1]})


@pytest.mark.parametrize(
    ("answer", "code", "remedy"),
    [
        (entra("invalid_request", "AADSTS90002: Tenant 'x' not found."), "AADSTS90002", "tenant"),
        (entra("invalid_client", "AADSTS7000215: Invalid client secret provided."), "AADSTS7000215", "secret"),
        (entra("invalid_client", "AADSTS7000222: The client secret keys are expired."), "AADSTS7000222", "expired"),
        (entra("unauthorized_client", "AADSTS700016: Application not found."), "AADSTS700016", "client id"),
        (entra("invalid_client", "AADSTS99999: Something new."), "AADSTS99999", "simulator"),
    ],
)
async def test_entras_refusal_says_which_credential_and_what_to_do(
    server: Server, session: Session, answer: Answer, code: str, remedy: str
) -> None:
    server.on("POST", "oauth2/v2.0/token$", answer)
    with pytest.raises(CredentialError, match="credential simulator") as caught:
        await session.resources.group(SUB, "g")
    assert caught.value.code == code
    assert code in caught.value.what
    assert remedy in caught.value.remedy
    assert caught.value.where == server.url
    assert SECRET not in str(caught.value)
    assert server.calls("GET", "resourcegroups") == []


async def test_a_wrong_tenant_is_asked_for_where_it_does_not_exist(server: Server, clock: FakeClock) -> None:
    server.on("POST", "/wrong/oauth2", entra("invalid_request", "AADSTS90002: Tenant 'wrong' not found."))
    async with Session(cloud_of(server, tenant="wrong"), clock=clock, guard=reading()) as session:
        with pytest.raises(CredentialError, match="AADSTS90002"):
            await session.rest.request("GET", "/subscriptions")


async def test_an_authority_that_does_not_answer_is_named(server: Server, clock: FakeClock) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"https://127.0.0.1:{taken.getsockname()[1]}"
        async with Session(cloud_of(server, authority=dead), clock=clock, guard=reading()) as session:
            with pytest.raises(CredentialError, match="connection refused") as caught:
                await session.rest.request("GET", "/subscriptions")
    assert caught.value.where == dead
    assert "authority" in caught.value.remedy


async def test_an_authority_that_speaks_html_is_no_token(server: Server, session: Session) -> None:
    server.on("POST", "oauth2/v2.0/token$", Answer(200, body=b"<html>", headers={"Content-Type": "text/html"}))
    with pytest.raises(CredentialError, match="simulator"):
        await session.rest.request("GET", "/subscriptions")


async def test_a_principal_replaces_the_identity(server: Server, clock: FakeClock) -> None:
    other = Principal(client_id="other-client", client_secret="other-secret")
    server.on("GET", "/subscriptions", Answer(json={"value": []}))
    async with Session(cloud_of(server), clock=clock, guard=reading(), principal=other) as session:
        await session.resources.subscriptions()
    asked = next(call for call in server.seen if "oauth2" in call.path)
    assert b"client_id=other-client" in asked.body
    assert b"client_secret=other-secret" in asked.body


@pytest.mark.parametrize(
    ("name", "environ", "kind"),
    [
        ("azure-cli", {}, "AzureCliCredential"),
        ("managed-identity", {}, "ManagedIdentityCredential"),
        (
            "azure-pipelines",
            {
                "SYSTEM_ACCESSTOKEN": "t",
                "AZURESUBSCRIPTION_TENANT_ID": TENANT,
                "AZURESUBSCRIPTION_CLIENT_ID": CLIENT,
                "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": "sc",
                "SYSTEM_OIDCREQUESTURI": "https://dev.azure.com/x",
            },
            "AzurePipelinesCredential",
        ),
        ("workload-identity", {"AZURE_FEDERATED_TOKEN_FILE": "/token"}, "WorkloadIdentityCredential"),
        ("environment", {}, "EnvironmentCredential"),
        ("auto", {}, "ChainedTokenCredential"),
    ],
)
async def test_credentials_are_chosen_by_name(
    monkeypatch: pytest.MonkeyPatch, name: Any, environ: dict[str, str], kind: str
) -> None:
    for key, value in {"AZURE_FEDERATED_TOKEN_FILE": "/token", **environ}.items():
        monkeypatch.setenv(key, value)
    cloud = msgspec.structs.replace(public(), credential=name, tenant=TENANT, client_id=CLIENT)
    made = auth.credential(cloud, None, environ)
    assert type(made).__name__ == kind
    await made.close()


async def test_auto_tries_only_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTEM_OIDCREQUESTURI", "https://dev.azure.com/x")
    environ = {
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_CLIENT_SECRET": "x",
        "SYSTEM_OIDCREQUESTURI": "https://dev.azure.com/x",
        "SYSTEM_ACCESSTOKEN": "t",
        "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": "sc",
        "AZURE_FEDERATED_TOKEN_FILE": "/token",
    }
    for chosen, expected in (
        ({}, ["AzureCliCredential", "ManagedIdentityCredential"]),
        (
            environ,
            [
                "EnvironmentCredential",
                "AzurePipelinesCredential",
                "WorkloadIdentityCredential",
                "AzureCliCredential",
                "ManagedIdentityCredential",
            ],
        ),
    ):
        for key, value in chosen.items():
            monkeypatch.setenv(key, value)
        chain: Any = auth.credential(public(), None, chosen)
        assert [type(credential).__name__ for credential in chain.credentials] == expected
        await chain.close()


async def test_a_credential_that_lacks_what_it_needs_says_so(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYSTEM_ACCESSTOKEN", raising=False)
    cloud = msgspec.structs.replace(public(), credential="azure-pipelines")
    async with Session(cloud, clock=clock, guard=reading()) as session:
        with pytest.raises(CredentialError, match="azure-pipelines") as caught:
            await session.rest.request("GET", "/subscriptions")
    assert "SYSTEM_ACCESSTOKEN" in caught.value.remedy


async def test_a_missing_az_is_reported(clock: FakeClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    cloud = msgspec.structs.replace(public(), credential="azure-cli")
    async with Session(cloud, clock=clock, guard=reading()) as session:
        with pytest.raises(CredentialError, match="azure-cli") as caught:
            await session.rest.request("GET", "/subscriptions")
    assert "az login" in caught.value.remedy


# The store's


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("azure-cli", "AzureCliCredential"),
        ("azure-pipelines", "AzurePipelinesCredential"),
        ("managed-identity", "ManagedIdentityCredential"),
        ("workload-identity", "WorkloadIdentityCredential"),
        ("environment", "EnvironmentCredential"),
        ("auto", "ChainedTokenCredential"),
    ],
)
def test_the_store_signs_in_with_the_credential_that_the_cloud_names(
    name: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipelines = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT, "AZURE_FEDERATED_TOKEN_FILE": "/token"}
    for variable, value in {**pipelines, "AZURE_CLIENT_SECRET": SECRET, "SYSTEM_OIDCREQUESTURI": "https://x"}.items():
        monkeypatch.setenv(variable, value)
    environ = {**pipelines, "SYSTEM_ACCESSTOKEN": "held", "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": "one"}
    cloud = msgspec.structs.replace(public(), credential=name, tenant=TENANT, client_id=CLIENT)
    made = auth.blocking(cloud, environ)
    assert (type(made).__name__, type(made).__module__.split(".")[:2]) == (kind, ["azure", "identity"])
    assert ".aio" not in type(made).__module__
    made.close()
