"""The transport of clients that block: the store's, and that of the credential it signs in with."""

from __future__ import annotations

import os
import time
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter

from drkit.providers import answer_size
from drkit.providers.proxies import check_proxies, proxy_of
from drkit.providers.transport import LONGEST_NAP, check_certificates


class BoundedAdapter(HTTPAdapter):
    """Asks for plain answers, and reads no more of one than ``answer_size.MOST`` bytes."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """The answer, its body not read yet. PackedError for one that is packed."""
        request.headers["Accept-Encoding"] = "identity"
        response = super().send(request, *args, **options)
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            response.close()
            raise answer_size.PackedError(encoding)
        response.raw = answer_size.BoundedRaw(response.raw)
        return response


class BlockingTransport(RequestsTransport):  # type: ignore[misc]  # azure-core's own is untyped
    """azure-core's blocking transport that reads no ~/.netrc, keeps no cookies and uses the proxies of ``proxy_of``.

    ``ca_bundle``: a file of CAs to trust (default: that of REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, else the machine's).
    UsageError for a proxy, CredentialError for a CA file that cannot be used.
    """

    def __init__(self, ca_bundle: str = "", *, connection_timeout: float = 20, read_timeout: float = 60) -> None:
        check_proxies()
        if ca_bundle:
            check_certificates(ca_bundle)
        certificates = ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        session = requests.Session()
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("https://", "http://"):
            session.mount(scheme, BoundedAdapter(max_retries=0))
        super().__init__(
            session=session,
            use_env_settings=False,
            connection_timeout=connection_timeout,
            read_timeout=read_timeout,
            connection_verify=certificates or True,
        )

    def sleep(self, duration: float) -> None:
        """Wait before azure-core asks again: at most ``LONGEST_NAP``, however long an answer asks to wait."""
        time.sleep(min(duration, LONGEST_NAP))

    def send(self, request: Any, **options: Any) -> Any:
        """Send a request over the proxy that the environment names for its host."""
        proxy = proxy_of(request.url)
        options["proxies"] = {"http": proxy, "https": proxy} if proxy else {}
        return super().send(request, **options)
