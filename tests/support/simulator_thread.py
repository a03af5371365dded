"""A simulator in a thread of its own, and the genuine clients that talk to it."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import requests
from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient

from drkit.simulator import Simulator
from tests.support.patience import PATIENCE

SUB = "11111111-1111-4111-8111-111111111111"
OTHER_SUB = "22222222-2222-4222-8222-222222222222"
TENANT = "99999999-9999-4999-8999-999999999999"
PROBE = "#!/bin/sh\n# stands for the probe script\n"
SCRIPTS = {hashlib.sha256(PROBE.encode()).hexdigest(): "probe"}
QUIET: dict[str, Any] = {"retry_total": 0, "polling_interval": 1}


def group_id(name: str, subscription: str = SUB) -> str:
    return f"/subscriptions/{subscription}/resourceGroups/{name}"


def vm_id(name: str, group: str = "dev-ne") -> str:
    return f"{group_id(group)}/providers/Microsoft.Compute/virtualMachines/{name}"


def host(name: str, group: str, location: str, **more: Any) -> dict[str, Any]:
    return {"id": vm_id(name, group), "kind": "azure-vm", "hostname": name, "location": location, **more}


def seed(**more: Any) -> dict[str, Any]:
    """Two subscriptions; VMs in North and West Europe, one in the north whose group is located in the west."""
    return {
        "drkit": "simulator-seed/1",
        "seed": 7,
        "tenant": {"id": TENANT, "domain": "contoso.onmicrosoft.com"},
        "subscriptions": [
            {"id": SUB, "name": "Contoso Development"},
            {"id": OTHER_SUB, "name": "Contoso Labs", "providers": ["Microsoft.Compute"]},
        ],
        "groups": [
            {"id": group_id("dev-ne"), "location": "northeurope", "tags": {"team": "web"}},
            {"id": group_id("dev-we"), "location": "westeurope"},
        ],
        "resources": [
            {
                "id": f"{group_id('dev-ne')}/providers/Microsoft.HybridCompute/machines/cupboard",
                "location": "northeurope",
                "properties": {"status": "Connected", "vmId": "5a3c2d6e-8f0b-4f9e-9c51-0f1d2b3a4c5d"},
            }
        ],
        "hosts": [
            host("web-01", "dev-ne", "northeurope", vm={"tags": {"role": "web"}}),
            host("web-02", "dev-we", "westeurope"),
            host("stray", "dev-we", "northeurope"),
            host("win-01", "dev-ne", "northeurope", os="windows"),
        ],
        **more,
    }


class Running:
    """A simulator that runs in a thread of its own until ``stop``."""

    def __init__(self, folder: Path, seed: Mapping[str, Any], *, speed: float = 60.0) -> None:
        self.simulator = Simulator(dict(seed), host_scripts=SCRIPTS, speed=speed, folder=folder)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self.simulator.start)
        self.ready = self.simulator.ready
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.verify = self.ready["ca_bundle"]

    def _run(self, act: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(act(), self._loop).result(PATIENCE)

    def stop(self) -> None:
        self.http.close()
        self._run(self.simulator.stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def control(self, name: str, **body: Any) -> Any:
        """POST to the control interface; AssertionError for a refusal."""
        answer = self.http.post(f"{self.ready['control']}/{name}", json=body, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def view(self, name: str, **query: Any) -> Any:
        answer = self.http.get(f"{self.ready['control']}/{name}", params=query, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def credential(self, role: str = "owner") -> ClientSecretCredential:
        one = self.ready["principals"][role]
        return ClientSecretCredential(
            self.ready["tenant"],
            one["client_id"],
            one["client_secret"],
            authority=self.ready["authority"],
            disable_instance_discovery=True,
            connection_verify=self.ready["ca_bundle"],
            retry_total=0,
        )

    def client_options(self) -> dict[str, Any]:
        return {"base_url": self.ready["arm"], "connection_verify": self.ready["ca_bundle"], **QUIET}

    def resources(self, role: str = "owner", subscription: str = SUB, **more: Any) -> ResourceManagementClient:
        return ResourceManagementClient(self.credential(role), subscription, **(self.client_options() | more))

    def compute(self, role: str = "owner", **more: Any) -> ComputeManagementClient:
        return ComputeManagementClient(self.credential(role), SUB, **(self.client_options() | more))

    def bearer(self, role: str = "owner") -> dict[str, str]:
        token = self.credential(role).get_token("https://management.azure.com/.default").token
        return {"Authorization": f"Bearer {token}"}

    def get(self, path: str, role: str = "owner", **query: str) -> requests.Response:
        """A plain ARM GET."""
        query.setdefault("api-version", "2024-11-01")
        return self.http.get(self.ready["arm"] + path, params=query, headers=self.bearer(role), timeout=PATIENCE)
