"""The connection to one cloud: its credential, and the one pipeline that every request passes through.

guard -> throttle -> retry -> token -> guard again, count -> transport. The SDK's clients and ``rest`` share it: the clients are
made with the public keywords ``policies=`` and ``transport=``, so the SDK's own retries, redirects, logging and provider
registration are not used. The pipeline raises the errors of ``drkit.errors``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
import msgspec
from azure.core.pipeline import AsyncPipeline, PipelineResponse
from azure.core.pipeline.policies import (
    CustomHookPolicy,
    DistributedTracingPolicy,
    HeadersPolicy,
    RequestIdPolicy,
    UserAgentPolicy,
)

from drkit.errors import DrkitError, GuardError
from drkit.model.clock import Clock
from drkit.model.cloud import Cloud, Principal
from drkit.providers.auth import ArmTokens, AuthPolicy, credential, credential_name
from drkit.providers.counters import Counters
from drkit.providers.error_mapping import SDK_ERRORS, from_exception
from drkit.providers.guard import NO_READING_POSTS, Guard, ReadingPosts
from drkit.providers.policies import GuardPolicy, PipelineState, SendPolicy
from drkit.providers.redact import Redactor, of_environment
from drkit.providers.retry import DEFAULT_BUDGET, Budget, TenacityRetryPolicy, current_budget, limited
from drkit.providers.throttle import Throttle
from drkit.providers.transport import Routes, Transport, encoded, open_client, tls_context
from drkit.version import __version__

if TYPE_CHECKING:
    from drkit.providers.compute import Compute
    from drkit.providers.health import Health
    from drkit.providers.monitor import Monitor
    from drkit.providers.resource_graph import Graph
    from drkit.providers.resources import Resources
    from drkit.providers.rest import Rest

# azure-identity logs each failed token request with Entra's whole answer; drkit reports it once and redacted.
_identity_log = logging.getLogger("azure.identity")
if _identity_log.level == logging.NOTSET:
    _identity_log.setLevel(logging.CRITICAL)

T = TypeVar("T")


class Session:
    """One cloud, one identity and one pipeline, for one ``async with`` block.

    ``guard`` sees every request before anything else happens. ``reads``: the POSTs that change nothing, and so may be repeated.
    ``loopback_only``: the transport refuses every host that is not loopback, for token requests too. ``principal`` replaces the
    identity of a simulated cloud. ``connection_timeout`` and ``read_timeout`` are seconds of real time; ``budget`` limits attempts
    and total time.
    GuardError for ``loopback_only`` with a credential that is not the simulator's.
    """

    def __init__(
        self,
        cloud: Cloud,
        *,
        clock: Clock,
        guard: Guard,
        reads: ReadingPosts = NO_READING_POSTS,
        loopback_only: bool = False,
        principal: Principal | None = None,
        connection_timeout: float = 5.0,
        read_timeout: float = 30.0,
        budget: Budget = DEFAULT_BUDGET,
    ) -> None:
        if principal is not None:
            cloud = _as(cloud, principal)
        if loopback_only and credential_name(cloud) != "simulator":
            raise GuardError(
                f"credential {credential_name(cloud)} could reach more than loopback",
                where=cloud.arm,
                remedy="a rehearsal brings its own identity",
            )
        self.cloud = cloud
        self.clock = clock
        self.counters = Counters()
        self.redact = Redactor([cloud.client_secret, *of_environment(os.environ)])
        self.routes = Routes(cloud.services, cloud.arm)
        self._guard, self._reads = guard, reads
        self._loopback_only = loopback_only
        self._timeouts = {"connection_timeout": connection_timeout, "read_timeout": read_timeout}
        self._budget = budget
        self._client: aiohttp.ClientSession | None = None
        self._transport: Transport | None = None
        self._policies: list[Any] = []
        self._pipeline: AsyncPipeline[Any, Any] | None = None
        self._tokens: ArmTokens | None = None
        self._wrappers: dict[str, Any] = {}

    async def __aenter__(self) -> Session:
        cloud = self.cloud
        # A simulated cloud is on loopback only, so nothing that is meant for it may go anywhere else.
        loopback_only = cloud.simulated or self._loopback_only
        self._client = client = open_client(tls_context(cloud.ca_bundle), direct=loopback_only)
        make: dict[str, Any] = {"loopback_only": loopback_only, **self._timeouts}
        self._transport = Transport(client, self.routes, **make)
        for_tokens = Transport(client, self.routes, counters=self.counters, **make)
        self._tokens = ArmTokens(
            credential_name(cloud),
            cloud.authority,
            cloud.token_scope,
            lambda: credential(cloud, for_tokens),
            self.redact,
        )
        state = PipelineState(
            cloud.arm,
            cloud.client_id,
            self._guard,
            self.clock,
            self.counters,
            self.redact,
            Throttle(self.clock, self.counters),
            self._budget,
            self._reads,
        )
        auth = AuthPolicy(self._tokens, cloud.arm, regional=not cloud.simulated)
        gate = GuardPolicy(state, auth)
        retry = TenacityRetryPolicy(
            self.clock,
            self.counters,
            self.redact,
            before_repeat=gate.throttle,
            learn=gate.learn,
            budget=self._budget,
            **self._timeouts,
        )
        first = [
            RequestIdPolicy(),
            HeadersPolicy(),
            UserAgentPolicy(base_user_agent=f"drkit/{__version__}"),
            CustomHookPolicy(),
        ]
        # Does nothing unless azure-core was told to trace (AZURE_TRACING_ENABLED) and OpenTelemetry is installed.
        tracing = DistributedTracingPolicy()
        self._policies = [*first, gate, retry, auth, tracing, SendPolicy(state)]
        self._pipeline = AsyncPipeline(self._transport, policies=self._policies)
        return self

    async def __aexit__(self, *_details: object) -> None:
        if self._tokens is not None:
            await self._tokens.close()
        if self._client is not None:
            await self._client.close()
        self._client = self._transport = self._pipeline = self._tokens = None
        self._wrappers.clear()

    @contextmanager
    def budget(self, attempts: int, seconds: float) -> Iterator[None]:
        """Requests inside the block give up after that many attempts or seconds in all. For hosts that may be down."""
        with limited(Budget(attempts, seconds)):
            yield

    @property
    def patience(self) -> float:
        """Seconds that a request may take here in all, waits included."""
        return current_budget(self._budget).seconds

    @property
    def resources(self) -> Resources:
        """Groups, resources by id, providers, locations (azure-mgmt-resource)."""
        from drkit.providers.resources import Resources

        return self._wrapper("resources", Resources)

    @property
    def compute(self) -> Compute:
        """VMs and the run-command action (azure-mgmt-compute)."""
        from drkit.providers.compute import Compute

        return self._wrapper("compute", Compute)

    @property
    def rest(self) -> Rest:
        """Authenticated requests that no SDK client covers."""
        from drkit.providers.rest import Rest

        return self._wrapper("rest", Rest)

    @property
    def health(self) -> Health:
        """Resource Health and Service Health."""
        from drkit.providers.health import Health

        return self._wrapper("health", Health)

    @property
    def graph(self) -> Graph:
        """Resource Graph."""
        from drkit.providers.resource_graph import Graph

        return self._wrapper("graph", Graph)

    @property
    def monitor(self) -> Monitor:
        """The activity log and the availability metric (azure-mgmt-monitor)."""
        from drkit.providers.monitor import Monitor

        return self._wrapper("monitor", Monitor)

    def _wrapper(self, name: str, kind: type[T]) -> T:
        if name not in self._wrappers:
            self._wrappers[name] = kind(self)  # type: ignore[call-arg]
        wrapper: T = self._wrappers[name]
        return wrapper

    async def send(self, request: Any, **options: Any) -> PipelineResponse[Any, Any]:
        """One azure.core.rest.HttpRequest through the pipeline."""
        return await self._opened().run(request, **options)

    def client_arguments(self) -> dict[str, Any]:
        """Keyword arguments with which an SDK client uses this session's pipeline."""
        self._opened()
        return {
            "credential": self._tokens,
            "base_url": self.cloud.arm.rstrip("/"),
            "credential_scopes": [self.cloud.token_scope],
            "policies": self._policies,
            "transport": self._transport,
        }

    async def identity(self) -> str:
        """The ARM id of the managed identity that signs in; empty for a service principal or a person."""
        if self._tokens is None:
            raise RuntimeError("a session is used inside its `async with` block")
        return await self._tokens.resource()

    async def sdk(self, call: Awaitable[T], where: str) -> T:
        """The result of an SDK call; an exception that is not one of drkit's errors becomes UnreachableError at ``where``."""
        try:
            return await call
        except DrkitError:
            raise
        except SDK_ERRORS as error:
            raise from_exception(error, "the SDK", where, self.redact) from error

    def absolute(self, url: str) -> str:
        """A URL that begins with ``/``, on ARM's endpoint and percent-encoded; any other URL unchanged."""
        return f"{self.cloud.arm.rstrip('/')}{encoded(url)}" if url.startswith("/") else url

    def _opened(self) -> AsyncPipeline[Any, Any]:
        if self._pipeline is None:
            raise RuntimeError("a session is used inside its `async with` block")
        return self._pipeline


def _as(cloud: Cloud, principal: Principal) -> Cloud:
    return msgspec.structs.replace(cloud, client_id=principal.client_id, client_secret=principal.client_secret)
