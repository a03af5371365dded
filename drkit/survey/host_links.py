"""Which host each environment runs on, from the product's own API, the probe, settings and the previous snapshot. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from drkit.model.estate import Environment, Host, HostLink, Snapshot
from drkit.model.ids import ArmId
from drkit.model.settings import HostSettings, Settings


class HostLinks:
    """The links that each source knows, looked up once for all environments.

    ``hosts``: the hosts of the snapshot in the making, by id; ``previous``: the snapshot before, if any.
    """

    def __init__(self, hosts: Mapping[ArmId, Host], settings: Settings, previous: Snapshot | None) -> None:
        self._hosts = hosts
        self._probed: dict[tuple[str, ArmId], list[HostLink]] = defaultdict(list)
        self._by_name: dict[str, Host] = {}
        for host in hosts.values():
            self._by_name.setdefault(host.id.lower(), host)
            self._by_name.setdefault(host.name.lower(), host)
            for registration in (host.baseline.guest.registrations if host.baseline.guest else None) or ():
                link = HostLink(host.id, "probe", registration.user, "", registration.path)
                self._probed[registration.product, ArmId(registration.id)].append(link)
        self._entries: dict[str, list[tuple[int, HostSettings]]] = defaultdict(list)
        for position, entry in enumerate(settings.hosts):
            if entry.environment:
                self._entries[entry.environment.lower()].append((position, entry))
        self._previous: dict[tuple[str, str], Environment] = {}
        for environment in previous.environments if previous else ():
            self._previous.setdefault((environment.product, environment.id), environment)

    def link(self, environment: Environment) -> Environment:
        """The environment with its host. Sources that disagree leave the host unknown and are named in ``host_dispute``."""
        if environment.kind != "self-hosted":
            return environment
        links = self._links_of(environment)
        if not links:
            return environment
        if len({link.key for link in links}) > 1:
            named = ", ".join(f"{link.host} ({link.source})" for link in links)
            return msgspec.structs.replace(environment, host=None, host_dispute=f"its host is disputed: {named}")
        first = links[0]
        merged = HostLink(
            first.host,
            first.source,
            next((link.user for link in links if link.user), ""),
            next((link.workspace for link in links if link.workspace), ""),
            next((link.path for link in links if link.path), ""),
        )
        return msgspec.structs.replace(environment, host=merged)

    def _links_of(self, environment: Environment) -> list[HostLink]:
        links = [environment.host] if environment.host and environment.host.source == "api" else []
        links += self._probed.get((environment.product, ArmId(environment.id)), ())
        entry = self._entry_of(environment)
        if entry is not None:
            host = self._by_name.get(entry.id.lower())
            links.append(HostLink(host.id if host else entry.id, "settings", entry.user, entry.workspace))
        if not links:
            old = self._previous.get((environment.product, environment.id))
            if old is not None and old.host is not None and old.host.key in self._hosts:
                links.append(old.host)
        return links

    def _entry_of(self, environment: Environment) -> HostSettings | None:
        """The first entry of drkit.toml that names the environment by its id or name."""
        names = {environment.id.lower(), environment.name.lower()}
        entries = [
            (position, entry)
            for name in names
            for position, entry in self._entries.get(name, ())
            if entry.product in ("", environment.product)
        ]
        return min(entries, key=lambda item: item[0])[1] if entries else None
