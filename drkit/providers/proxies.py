"""The proxy of a request, from the environment. Clients get it from here and do not read the environment themselves.

A client that reads the environment also reads ``~/.netrc``, and sends what it finds there to any host.
"""

from __future__ import annotations

import ipaddress
import urllib.request
from urllib.parse import urlsplit

from drkit.errors import UsageError

_SCHEMES = ("http", "https")


def proxy_of(url: str) -> str:
    """The address of the proxy for a URL; empty for none.

    ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` apply as ``urllib.request`` reads them (on Windows and macOS the
    system's settings where none of these is set). Requests to this machine, or to its own link (a metadata service), use no
    proxy. UsageError for a proxy that cannot be used.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _near(host):
        return ""
    proxies = urllib.request.getproxies()
    named = parts.scheme if proxies.get(parts.scheme) else "all"
    if not (proxy := proxies.get(named, "").strip()) or urllib.request.proxy_bypass(host):
        return ""
    return _usable(proxy, f"{named.upper()}_PROXY")


def check_proxies() -> None:
    """UsageError for a proxy in the environment that cannot be used."""
    proxy_of("https://management.azure.com")


def _near(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return address.is_loopback or address.is_link_local


def _usable(proxy: str, variable: str) -> str:
    whole = proxy if "://" in proxy else f"http://{proxy}"
    fault = ""
    try:
        parts = urlsplit(whole)
        if parts.scheme.lower() not in _SCHEMES:
            fault = f"a proxy of the kind {parts.scheme} is not supported"
        elif not parts.hostname or not (parts.port is None or parts.port > 0) or not parts.hostname.isprintable():
            fault = "it names no host"
    except ValueError as error:
        fault = str(error)
    if fault or any(character.isspace() for character in whole):
        # The value is not shown: it may hold a password.
        raise UsageError(
            f"the proxy cannot be used: {fault or 'its address holds a space'}",
            where=variable,
            remedy=f"set {variable} to http://HOST:PORT, or unset it; NO_PROXY names the hosts that need no proxy",
        )
    return whole
