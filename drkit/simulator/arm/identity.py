"""Who one is and what one may do: cloud metadata, tokens, and role-based access.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import base64
import fnmatch
import json
import time
from datetime import UTC, datetime
from typing import Any

from drkit.simulator.core.routing import AUTHORITY, Call, Route
from drkit.simulator.core.state import Caller, Json, World
from drkit.simulator.core.wire import Answer, ArmError

READER = ["*/read"]
PLANNER = [
    "Microsoft.VSOnline/plans/readAllEnvironments/action",
    "Microsoft.Codespaces/plans/readAllCodespaces/action",
]
WORKERS = [
    "Microsoft.Automation/automationAccounts/write",
    "Microsoft.Automation/automationAccounts/hybridRunbookWorkerGroups/write",
    "Microsoft.Automation/automationAccounts/hybridRunbookWorkerGroups/hybridRunbookWorkers/write",
    "Microsoft.Automation/automationAccounts/hybridRunbookWorkerGroups/hybridRunbookWorkers/delete",
    "Microsoft.Compute/virtualMachines/extensions/write",
    "Microsoft.Compute/virtualMachines/extensions/delete",
    "Microsoft.HybridCompute/machines/extensions/write",
    "Microsoft.HybridCompute/machines/extensions/delete",
]
PROBER = ["Microsoft.Compute/virtualMachines/runCommand/action"]
ROLES: dict[str, list[str]] = {
    "owner": ["*"],
    "reader": READER,
    "planner": READER + PLANNER,
    "prober": READER + PROBER,
    "operator": [
        *READER,
        *PLANNER,
        *PROBER,
        *WORKERS,
        "Microsoft.Resources/subscriptions/resourceGroups/write",
        "Microsoft.VSOnline/plans/write",
        "Microsoft.VSOnline/plans/writeDelegates/action",
        "Microsoft.Codespaces/plans/write",
        "Microsoft.Codespaces/plans/writeDelegates/action",
    ],
}
"""Role name -> the actions it allows, in the patterns of Azure role definitions."""

ROLE_IDS = {"owner": "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "reader": "acdd72a7-3385-48ef-bd42-f606fba81ae7"}
"""https://learn.microsoft.com/azure/role-based-access-control/built-in-roles"""


def make_principals(world: World, given: list[Json]) -> None:
    """One service principal a role, the role assigned at every subscription; ``given`` ones instead of made-up ones."""
    wanted = {str(entry["role"]): entry for entry in given}
    for role in world.roles:
        entry = wanted.get(role, {})
        caller = Caller(
            role,
            world.tenant,
            entry.get("client_id") or world.named_id("client", role),
            entry.get("object_id") or world.named_id("object", role),
            entry.get("client_secret") or f"simulated-{world.named_id('secret', role)}",
            entry.get("resource", ""),
        )
        world.principals[caller.client_id] = caller
        for subscription in world.subscriptions.values():
            assign(world, caller.object_id, role, f"/subscriptions/{subscription.id}")


def assign(world: World, principal: str, role: str, scope: str, kind: str = "ServicePrincipal") -> None:
    name = world.named_id("assignment", principal, role, scope)
    world.assignments.append({"name": name, "principal": principal, "role": role, "scope": scope, "kind": kind})


def within(path: str, scope: str) -> bool:
    """Whether a path is the scope or is below it."""
    return f"{path.lower().rstrip('/')}/".startswith(f"{scope.lower().rstrip('/')}/")


def allowed(world: World, caller: Caller, action: str, path: str) -> bool:
    return any(
        fnmatch.fnmatchcase(action.lower(), pattern.lower())
        for entry in world.assignments
        if entry["principal"] == caller.object_id and within(path, entry["scope"])
        for pattern in world.roles.get(entry["role"], [])
    )


def authorize(call: Call) -> None:
    """AuthorizationFailed (403) unless an assigned role allows the call's action at its path."""
    if not call.action or call.caller is None or allowed(call.world, call.caller, call.action, call.raw_path):
        return
    scope = call.raw_path.rstrip("/")
    if call.method == "POST":
        scope = scope.rpartition("/")[0]
    raise ArmError(
        403,
        "AuthorizationFailed",
        f"The client '{call.caller.object_id}' with object id '{call.caller.object_id}' does not have authorization to "
        f"perform action '{call.action}' over scope '{scope}' or the scope is invalid. If access was recently "
        "granted, please refresh your credentials.",
    )


def authenticate(world: World, authorization: str) -> Caller:
    """Whose ARM token it is; 401 as Resource Manager gives it."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _denied(world, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
    granted = world.tokens.get(token)
    if granted is None:
        raise _denied(world, "InvalidAuthenticationToken", "The access token is invalid.")
    caller, ends = granted
    if ends <= time.time():
        end, now = (datetime.fromtimestamp(t, UTC).strftime("%m/%d/%Y %I:%M:%S %p") for t in (ends, time.time()))
        text = f"The access token expiry UTC time '{end}' is earlier than current UTC time '{now}'."
        raise _denied(world, "ExpiredAuthenticationToken", text)
    return caller


def _denied(world: World, code: str, message: str) -> ArmError:
    challenge = (
        f'Bearer authorization_uri="https://login.windows.net/{world.tenant}", error="invalid_token", '
        f'error_description="{message}"'
    )
    return ArmError(401, code, message, {"WWW-Authenticate": challenge})


def metadata(call: Call) -> Answer:
    """The cloud's endpoints: one object since 2022-09-01, a list in 2019-05-01."""
    cloud = {
        "name": "SimulatedAzure",
        "portal": call.base,
        "resourceManager": call.base,
        "authentication": {
            "loginEndpoint": call.base,
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "graph": call.base,
        "graphAudience": call.base,
        "microsoftGraphResourceId": call.base,
        "gallery": call.base,
        "suffixes": {"storage": "core.windows.net", "keyVaultDns": "vault.azure.net"},
    }
    return Answer(body=[cloud] if call.query.get("api-version") == "2019-05-01" else cloud)


def openid(call: Call) -> Answer:
    _tenant(call)
    root = f"{call.base}/{call.path['tenant']}"
    return Answer(
        body={
            "issuer": f"{root}/v2.0",
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "token_endpoint": f"{root}/oauth2/v2.0/token",
            "device_authorization_endpoint": f"{root}/oauth2/v2.0/devicecode",
            "jwks_uri": f"{root}/discovery/v2.0/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
        }
    )


class EntraError(ArmError):
    """A refusal in the token endpoint's form."""

    def __init__(self, call: Call, status: int, error: str, number: int, text: str) -> None:
        super().__init__(status, error, f"AADSTS{number}: {text}")
        self.number = number
        self.trace = call.world.named_id("trace", str(len(call.world.record)))

    def answer(self) -> Answer:
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        text = f"{self.message} Trace ID: {self.trace} Correlation ID: {self.trace} Timestamp: {now}"
        body: Json = {"error": self.code, "error_description": text, "error_codes": [self.number], "timestamp": now}
        body |= {"trace_id": self.trace, "correlation_id": self.trace}
        body["error_uri"] = f"https://login.microsoftonline.com/error?code={self.number}"
        return Answer(self.status, body)


def _tenant(call: Call) -> None:
    if call.path["tenant"].lower() != call.world.tenant.lower():
        text = (
            f"Tenant '{call.path['tenant']}' not found. Check to make sure you have the correct tenant ID and are "
            "signing into the correct cloud. Check with your subscription administrator, this may happen if there are "
            "no active subscriptions for the tenant."
        )
        raise EntraError(call, 400, "invalid_tenant", 90002, text)


def token(call: Call) -> Answer:
    """Client credentials with a secret; the lifetime counts in real seconds."""
    _tenant(call)
    form, world = call.form, call.world
    if form.get("grant_type") != "client_credentials":
        text = f"The grant type '{form.get('grant_type', '')}' is not supported."
        raise EntraError(call, 400, "unsupported_grant_type", 70003, text)
    client = form.get("client_id", "")
    caller = world.principals.get(client.lower())
    if caller is None:
        text = f"Application with identifier '{client}' was not found in the directory '{world.tenant}'."
        raise EntraError(call, 400, "unauthorized_client", 700016, text)
    if form.get("client_secret") != caller.secret:
        text = (
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
            f"not the client secret ID, for a secret added to app '{client}'."
        )
        raise EntraError(call, 401, "invalid_client", 7000215, text)
    now = time.time()
    audience = form.get("scope", "").removesuffix("/.default")
    claims = {
        "aud": audience,
        "iss": f"https://sts.windows.net/{world.tenant}/",
        "iat": int(now),
        "nbf": int(now),
        "exp": int(now + world.expires_in),
        "appid": caller.client_id,
        "idtyp": "app",
        "oid": caller.object_id,
        "sub": caller.object_id,
        "tid": world.tenant,
        "uti": f"{len(world.tokens)}-{now:.6f}",
        "ver": "1.0",
    }
    if caller.resource:
        claims["xms_mirid"] = caller.resource
    bearer = jwt(claims)
    world.tokens[bearer] = (caller, now + world.expires_in)
    call.note["principal"] = caller.role
    lifetime = {"expires_in": world.expires_in, "ext_expires_in": world.expires_in}
    return Answer(body={"token_type": "Bearer", **lifetime, "access_token": bearer})


def jwt(claims: dict[str, Any]) -> str:
    """A JSON web token of that shape; nobody signed it."""
    parts = [json.dumps(part, separators=(",", ":")).encode() for part in ({"typ": "JWT", "alg": "none"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in [*parts, b"simulated"])


ROUTES = [
    Route("GET", "/metadata/endpoints", metadata, plane=AUTHORITY),
    Route("GET", "/{tenant}/v2.0/.well-known/openid-configuration", openid, plane=AUTHORITY),
    Route("POST", "/{tenant}/oauth2/v2.0/token", token, plane=AUTHORITY, kind="token"),
]
