"""Where ARM tokens come from, and the policy that puts them on requests.

The credential is one of azure-identity's, chosen by name. The library makes its token requests itself, over a transport with
the same mapping and loopback check as all other requests.

``auto`` tries, in this order and only where the variables or programs exist: ``environment`` (a client secret or
certificate in AZURE_*), ``azure-pipelines`` (SYSTEM_OIDCREQUESTURI), ``workload-identity``
(AZURE_FEDERATED_TOKEN_FILE), ``azure-cli``, ``managed-identity``.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import AsyncHTTPPolicy

from drkit.errors import NO_AUTHORITY, CredentialError, DrkitError, GuardError, NoAuthorityError
from drkit.model.cloud import Cloud, named_authority
from drkit.model.operation import bare
from drkit.providers.answer_size import PackedError, TooLongError
from drkit.providers.error_mapping import chain, from_exception
from drkit.providers.redact import Redactor

PROCESS_TIMEOUT = 30
TOKEN_TIMEOUT = 180.0
"""Real seconds for one token, however long the authority asks to wait; several credentials may be tried for it."""
_EARLY = 300.0
_UNANSWERED = (ServiceRequestError, ServiceResponseError, TooLongError, PackedError)
_CLAIMS = re.compile(r'claims="([^"]+)"')
_ENTRA = re.compile(r"AADSTS\d+")
_REMEDIES: Mapping[str, str] = {
    "AADSTS90002": "the tenant does not exist there: check [cloud] tenant",
    "AADSTS900023": "the tenant is not a valid name or id: check [cloud] tenant",
    "AADSTS7000215": "the client secret is wrong: give the secret's value, not its id",
    "AADSTS7000222": "the client secret has expired: create a new one for the app registration",
    "AADSTS700016": "the application is unknown in that tenant: check client id and tenant",
    "AADSTS700082": "the sign-in has expired: sign in again with `az login`",
    "AADSTS50076": "multi-factor sign-in is required: sign in again with `az login`",
    "AADSTS70021": "no federated credential matches: check the service connection or workload identity",
}
_DEFAULT_REMEDIES: Mapping[str, str] = {
    "azure-cli": "sign in with `az login` (with --tenant TENANT if there are several)",
    "azure-pipelines": "map SYSTEM_ACCESSTOKEN: $(System.AccessToken) in the step's env; check the service connection",
    "managed-identity": "give the machine a managed identity, or choose another [cloud] credential",
    "workload-identity": "set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_FEDERATED_TOKEN_FILE",
    "environment": "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
    "auto": "sign in with `az login`, or name one with [cloud] credential",
    "simulator": "start the simulator again and use its new ready file",
}


def remedy_of(cloud: Cloud) -> str:
    """What the user can do when the cloud's credential gives no token."""
    return _DEFAULT_REMEDIES[credential_name(cloud)]


def credential_name(cloud: Cloud) -> str:
    """The name of the credential that is used: the configured one, or ``simulator`` for a simulated cloud."""
    return "simulator" if cloud.simulated or cloud.client_secret else cloud.credential


def credential(
    cloud: Cloud,
    transport: Any = None,
    environ: Mapping[str, str] | None = None,
    library: Any = None,
) -> Any:
    """The azure-identity credential that the cloud names; ``transport`` sends its token requests, if it makes any.

    ``library`` is ``azure.identity`` or (the default) ``azure.identity.aio``, which have the same names.
    CredentialError, naming the credential, when something that it needs is missing.
    """
    name = credential_name(cloud)
    env = os.environ if environ is None else environ
    try:
        return _make(name, cloud, transport, env, library)
    except CredentialError:
        raise
    except (ValueError, KeyError, AzureError, ImportError) as error:
        raise CredentialError(
            f"credential {name} cannot be used: {error}", where=cloud.authority, remedy=_DEFAULT_REMEDIES[name]
        ) from error


def blocking(cloud: Cloud, environ: Mapping[str, str] | None = None) -> Any:
    """The same credential for a blocking client (the store's). Raises CredentialError as ``credential`` does."""
    from azure import identity

    from drkit.providers.blocking import BlockingTransport

    return credential(cloud, BlockingTransport(cloud.ca_bundle), environ, identity)


def _make(name: str, cloud: Cloud, transport: Any, env: Mapping[str, str], library: Any = None) -> Any:
    from azure.identity import aio

    identity = library or aio
    carried: dict[str, Any] = {} if transport is None else {"transport": transport}
    http: dict[str, Any] = {"retry_total": 2, "retry_backoff_factor": 0.4, **carried}
    entra: dict[str, Any] = {
        "authority": cloud.authority,
        # A private authority is not in Entra's public list of clouds, so looking it up there would fail.
        "disable_instance_discovery": not named_authority(cloud.authority),
        **http,
    }
    tenant = cloud.tenant or env.get("AZURE_TENANT_ID", "")
    client_id = cloud.client_id or env.get("AZURE_CLIENT_ID", "")
    if name == "simulator":
        if not cloud.client_secret:
            raise CredentialError(
                "a simulated cloud must bring its own identity, and this one brings none",
                where=cloud.arm,
                remedy=_DEFAULT_REMEDIES[name],
            )
        return identity.ClientSecretCredential(cloud.tenant, cloud.client_id, cloud.client_secret, **entra)
    if name == "azure-cli":
        return identity.AzureCliCredential(tenant_id=cloud.tenant, process_timeout=PROCESS_TIMEOUT)
    if name == "azure-pipelines":
        return identity.AzurePipelinesCredential(
            tenant_id=tenant or env.get("AZURESUBSCRIPTION_TENANT_ID", ""),
            client_id=client_id or env.get("AZURESUBSCRIPTION_CLIENT_ID", ""),
            service_connection_id=cloud.service_connection or env.get("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", ""),
            system_access_token=env.get("SYSTEM_ACCESSTOKEN", ""),
            **entra,
        )
    if name == "managed-identity":
        # Its endpoint is on the machine itself, so it takes no authority. A client id chooses a user-assigned identity.
        return identity.ManagedIdentityCredential(client_id=cloud.client_id or None, **carried)
    if name == "workload-identity":
        return identity.WorkloadIdentityCredential(tenant_id=tenant or None, client_id=client_id or None, **entra)
    if name == "environment":
        return identity.EnvironmentCredential(**entra)
    return _chain(cloud, transport, env, library)


def _chain(cloud: Cloud, transport: Any, env: Mapping[str, str], library: Any) -> Any:
    from azure.identity import aio

    secret = env.get("AZURE_CLIENT_SECRET") or env.get("AZURE_CLIENT_CERTIFICATE_PATH")
    names = [
        *(["environment"] if secret and env.get("AZURE_CLIENT_ID") and env.get("AZURE_TENANT_ID") else []),
        *(["azure-pipelines"] if env.get("SYSTEM_OIDCREQUESTURI") and env.get("SYSTEM_ACCESSTOKEN") else []),
        *(["workload-identity"] if env.get("AZURE_FEDERATED_TOKEN_FILE") else []),
        "azure-cli",
        "managed-identity",
    ]
    chained = (library or aio).ChainedTokenCredential
    return chained(*(_make(name, cloud, transport, env, library) for name in names))


class ArmTokens:
    """The ARM token of one session: requested once, shared by all requests, renewed before it expires or when it is refused.

    SDK clients take it as their credential.
    """

    def __init__(self, name: str, authority: str, scope: str, make: Callable[[], Any], redactor: Redactor) -> None:
        self._name = name
        self._authority = authority
        self._scope = scope
        self._make = make
        self._redact = redactor
        self._credential: Any = None
        self._token: AccessToken | None = None
        self._renew_at = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> str:
        """A token that has not expired. CredentialError says which credential failed and what to do."""
        token = self._token
        if token is not None and time.time() < self._renew_at:
            return token.token
        async with self._lock:
            if self._token is None or time.time() >= self._renew_at:
                await self._ask(None)
            assert self._token is not None  # noqa: S101  (for the type checker; _ask raises otherwise)
            return self._token.token

    async def resource(self) -> str:
        """The ARM id of the managed identity that signs in, or of the machine that has it; empty for any other identity.

        It is read from the token, which is not verified here: that is Azure's task.
        """
        parts = (await self.get()).split(".")
        try:
            claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        except (IndexError, ValueError):
            return ""
        identity = claims.get("xms_mirid") if isinstance(claims, dict) else None
        return f"/{identity.strip('/')}" if isinstance(identity, str) and identity.strip("/") else ""

    async def renew(self, refused: str, claims: str | None = None) -> str:
        """Another token than the refused one, if there is one. Callers whose same token was refused share one new request."""
        async with self._lock:
            if self._token is not None and self._token.token != refused:
                return self._token.token
            # A new credential has an empty cache, so that the refused token does not come back.
            await self._drop()
            await self._ask(claims)
            assert self._token is not None  # noqa: S101
            return self._token.token

    async def _ask(self, claims: str | None) -> None:
        try:
            if self._credential is None:
                self._credential = self._make()
            options = {"claims": claims} if claims else {}
            asked = time.time()
            async with asyncio.timeout(TOKEN_TIMEOUT):
                token = await self._credential.get_token(self._scope, **options)
            if not isinstance(token.token, str) or not token.token or not token.token.isprintable():
                raise ValueError("the authority's answer holds no usable token")
            lifetime = max(0.0, token.expires_on - asked)
            renew_at = float(token.expires_on - min(_EARLY, lifetime / 4))
        except (GuardError, CredentialError):
            raise
        except Exception as error:  # noqa: BLE001  (each credential has its own exceptions; all mean that there is no token)
            raise self._failure(error) from None
        self._redact.add(token.token)
        self._token = token
        self._renew_at = renew_at

    def _failure(self, error: Exception) -> DrkitError:
        for part in chain(error):
            if isinstance(part, GuardError):
                return part
        text = self._redact(str(getattr(error, "message", "") or error), 500, words=True)
        entra_code = _ENTRA.search(text)
        remedy = _REMEDIES.get(entra_code.group(0), "") if entra_code else ""
        if isinstance(error, TimeoutError):
            text = f"no answer within {TOKEN_TIMEOUT:g} s"
        if not text:
            text = type(error).__name__
        unanswered = any(isinstance(part, _UNANSWERED) for part in chain(error))
        if unanswered:
            text = from_exception(error, "the token request", self._authority, self._redact).what
            remedy = "check [cloud] authority, ca_bundle and the network"
        silent = not entra_code and (unanswered or _no_answer_of_entra(error))
        kind = NoAuthorityError if silent else CredentialError
        return kind(
            f"no token from credential {self._name}: {text}",
            where=self._authority,
            remedy=remedy or _DEFAULT_REMEDIES[self._name],
            code=entra_code.group(0) if entra_code else NO_AUTHORITY if silent else "",
        )

    async def _drop(self) -> None:
        gone, self._credential, self._token = self._credential, None, None
        if gone is not None:
            await gone.close()

    # The protocol of SDK clients (azure.core.credentials_async.AsyncTokenCredential).

    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """The session's token for any scope: the clients of this session talk to ARM only."""
        await self.get()
        assert self._token is not None  # noqa: S101
        return self._token

    async def get_token_info(
        self,
        *_scopes: str,
        options: TokenRequestOptions | None = None,  # noqa: ARG002  (the protocol's name)
    ) -> AccessTokenInfo:
        """The same as ``get_token``, in the newer form."""
        token = await self.get_token()
        return AccessTokenInfo(token.token, token.expires_on)

    async def close(self) -> None:
        """Close the credential."""
        await self._drop()

    async def __aenter__(self) -> ArmTokens:
        return self

    async def __aexit__(self, *_details: object) -> None:
        return None


def _no_answer_of_entra(error: Exception) -> bool:
    """Whether the authority's answer is not one of Entra's: a 5xx, an HTML page, a body that cannot be read."""
    return any(isinstance(part, HttpResponseError) and part.status_code not in (400, 401, 403) for part in chain(error))


OWN_TOKEN = "drkit_token"  # noqa: S105  (the name of an option)
ANONYMOUS = "drkit_anonymous"


class AuthPolicy(AsyncHTTPPolicy[Any, Any]):
    """Puts a token on each attempt: ARM's (renewed once when it is refused), a product's own, or none.

    ARM's token is sent to ARM's own host and nowhere else.
    """

    def __init__(self, tokens: ArmTokens, arm: str, *, regional: bool) -> None:
        super().__init__()
        self._tokens = tokens
        self._arm = urlsplit(arm)
        self._regional = regional

    def trusts(self, url: str) -> bool:
        """Whether ARM's token may be sent to that URL: ARM's endpoint or, in public clouds, one of its regions."""
        parts = urlsplit(url)
        host, arm = (parts.hostname or "").lower(), (self._arm.hostname or "").lower()
        if parts.scheme != "https":
            return False
        if host == arm:
            return (parts.port or 443) == (self._arm.port or 443)
        return self._regional and host.endswith(f".{arm}") and parts.port in (None, 443)

    async def prepare(self, request: PipelineRequest[Any]) -> None:
        """Check, before throttle and retry, that ARM's token may be sent there and exists. So a slow `az` costs no attempt.

        GuardError for a host that may not get it, CredentialError when there is none.
        """
        http = request.http_request
        if request.context.get(ANONYMOUS) or request.context.get(OWN_TOKEN):
            return
        if not self.trusts(http.url):
            raise GuardError(
                f"{http.method} was not sent: ARM's token goes to {self._arm.hostname} only",
                where=bare(http.url),
                remedy="an address in an answer led elsewhere; check [cloud] arm and proxies",
            )
        await self._tokens.get()

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send the request with the token for its host, or with none."""
        headers = request.http_request.headers
        if request.context.get(ANONYMOUS):
            headers.pop("Authorization", None)
            return await self.next.send(request)
        if product_token := request.context.get(OWN_TOKEN):
            headers["Authorization"] = f"Bearer {product_token}"
            return await self.next.send(request)
        token = await self._tokens.get()
        headers["Authorization"] = f"Bearer {token}"
        response = await self.next.send(request)
        if response.http_response.status_code != 401:
            return response
        renewed = await self._tokens.renew(token, _claims(response.http_response.headers.get("WWW-Authenticate", "")))
        if renewed == token:
            return response
        headers["Authorization"] = f"Bearer {renewed}"
        return await self.next.send(request)


def _claims(challenge: str) -> str | None:
    """The claims of a Continuous Access Evaluation challenge, decoded; None for a plain 401."""
    match = _CLAIMS.search(challenge) if "insufficient_claims" in challenge else None
    if match is None:
        return None
    encoded = match.group(1)
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
