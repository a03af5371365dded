"""Judges what a host says about a sign-in: its page must be a known one, its code must have the shape of a code.

A host asks its user to open a page and enter a code. The person who controls the host chooses both, so a page of theirs could ask
for a password in drkit's name.

The known pages are those of https://learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code and of GitHub's device flow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

PUBLIC = (
    "https://microsoft.com/devicelogin",
    "https://www.microsoft.com/devicelogin",
    "https://aka.ms/devicelogin",
    "https://login.microsoft.com/device",
    "https://login.microsoftonline.com/common/oauth2/deviceauth",
    "https://github.com/login/device",
)
PAGES: Mapping[str, tuple[str, ...]] = {
    "login.microsoftonline.com": PUBLIC,
    "login.microsoftonline.us": (
        "https://microsoft.com/deviceloginus",
        "https://login.microsoftonline.us/common/oauth2/deviceauth",
    ),
    "login.chinacloudapi.cn": (
        "https://microsoft.com/deviceloginchina",
        "https://aka.ms/deviceloginchina",
        "https://login.chinacloudapi.cn/common/oauth2/deviceauth",
        "https://login.partner.microsoftonline.cn/common/oauth2/deviceauth",
    ),
}
"""By the host of a cloud's authority. A cloud without a name has the pages of public Azure."""
CODE = re.compile(r"[A-Z0-9]{4}-[A-Z0-9]{4}|[A-Z0-9]{6,12}")


class SignIn(msgspec.Struct, frozen=True):
    """What drkit may show of a sign-in: a known page and a code, or only a warning."""

    code: str = ""
    url: str = ""
    warning: str = ""

    @property
    def words(self) -> str:
        """A sentence for people, which says that page and code are the host's."""
        if self.warning:
            return f"the host asks for a sign-in, and {self.warning}: look at the host before anybody signs in"
        return f"the host asks for a sign-in: open {self.url} and enter {self.code} (page and code are from the host)"


def judge(code: str, url: str, authority: str) -> SignIn:
    """What drkit may show of a host's page and code. ``authority``: the URL of the cloud's authority."""
    pages = PAGES.get(urlsplit(authority).hostname or "", PUBLIC)
    page = url.strip().rstrip("/").lower()
    if page not in pages:
        return SignIn(warning=f"names {'a page that is not one of the known sign-in pages' if page else 'no page'}")
    if not CODE.fullmatch(code):
        return SignIn(warning="its code does not look like one")
    return SignIn(code, page)
