"""Public hosts and the addresses that replace them."""

from __future__ import annotations

import pytest

from drkit.providers.transport import Routes

ROUTES = Routes(
    {
        "management.azure.com": "https://127.0.0.1:1001",
        "*.jrds.we.azure-automation.net": "https://127.0.0.1:1002",
        "named.jrds.we.azure-automation.net": "https://127.0.0.1:1003",
    },
    arm="https://127.0.0.1:1001",
)


@pytest.mark.parametrize(
    ("public", "real"),
    [
        ("https://a.jrds.we.azure-automation.net/x?y=1", "https://127.0.0.1:1002/x?y=1"),
        ("https://A.JRDS.we.azure-automation.net", "https://127.0.0.1:1002/"),
        ("https://named.jrds.we.azure-automation.net/x", "https://127.0.0.1:1003/x"),
        ("https://a.b.jrds.we.azure-automation.net/x", "https://a.b.jrds.we.azure-automation.net/x"),
        ("https://jrds.we.azure-automation.net/x", "https://jrds.we.azure-automation.net/x"),
        ("https://a.jrds.ne.azure-automation.net/x", "https://a.jrds.ne.azure-automation.net/x"),
        ("http://a.jrds.we.azure-automation.net/x", "http://a.jrds.we.azure-automation.net/x"),
    ],
)
def test_a_host_is_translated_by_its_name_or_by_what_follows_its_first_dot(public: str, real: str) -> None:
    assert ROUTES.translate(public) == real


def test_a_stand_in_for_many_hosts_is_published_as_none_of_them() -> None:
    assert ROUTES.publish("https://127.0.0.1:1002/x") == "https://127.0.0.1:1002/x"
    assert ROUTES.publish("https://127.0.0.1:1003/x") == "https://named.jrds.we.azure-automation.net/x"
