"""The sample estate: three subscriptions of one company, six plans, forty environments, a few hybrid workers, and
what befalls them.

``sample_seed`` is the estate before anything happened; ``sample_stories`` are control calls that happen to it between
the snapshot and the outage. All ids come from the number given, so two samples of one number are equal.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from drkit.simulator.hosts.machine import host_keys, mac
from drkit.simulator.samples import workers

Json = dict[str, Any]
SPACE = uuid.UUID("b3c9a1de-0f6f-4c83-9b53-7c8ad2f9e61a")
DAY = "2026-11-{:02d}T{:02d}:{:02d}:00Z"
REGISTRATION = "~/.vsonline/environment.json"

SUBSCRIPTIONS = {"engineering": "Halden Engineering", "research": "Halden Research", "platform": "Halden Platform"}
GROUPS = {
    "rg-dev-weu": ("engineering", "westeurope"),
    "rg-dev-eus": ("engineering", "eastus"),
    "rg-dev-dr-eus": ("engineering", "eastus"),
    "rg-hosts-neu": ("engineering", "northeurope"),
    "rg-hosts-eus": ("engineering", "eastus"),
    "rg-hosts-uks": ("engineering", "uksouth"),
    "rg-hosts-weu": ("engineering", "westeurope"),
    "rg-research-weu": ("research", "westeurope"),
    "rg-research-sea": ("research", "southeastasia"),
    "rg-labs-neu": ("research", "northeurope"),
    "rg-labs-uks": ("research", "uksouth"),
    "rg-labs-sea": ("research", "southeastasia"),
    "rg-platform-weu": ("platform", "westeurope"),
    "rg-platform-eus": ("platform", "eastus"),
    "rg-platform-hosts": ("platform", "westeurope"),
    "rg-build-eus": ("platform", "eastus"),
    **workers.GROUPS,
}
TARGET = "rg-dev-dr-eus"
PLANS = {
    "vso-plan-westeurope": ("rg-dev-weu", "Microsoft.VSOnline"),
    "plan-research-weu": ("rg-research-weu", "Microsoft.VSOnline"),
    "plan-platform-weu": ("rg-platform-weu", "Microsoft.Codespaces"),
    "vso-plan-eastus": ("rg-dev-eus", "Microsoft.VSOnline"),
    "plan-platform-eus": ("rg-platform-eus", "Microsoft.Codespaces"),
    "plan-research-sea": ("rg-research-sea", "Microsoft.VSOnline"),
}
PEOPLE: dict[str, tuple[str, float | None, float | None]] = {
    "aoife": ("Aoife Brennan", 60, 90),
    "bram": ("Bram de Wit", 120, 60),
    "chiara": ("Chiara Lombardi", 90, 120),
    "dmitri": ("Dmitri Volkov", 90, 75),
    "elif": ("Elif Aydin", 75, 110),
    "farah": ("Farah Haddad", 120, 60),
    "gustav": ("Gustav Lindqvist", 100, 100),
    "hana": ("Hana Suzuki", 150, 120),
    "ines": ("Inês Carvalho", 60, 60),
    "jonas": ("Jonas Keller", 110, 110),
    "kwame": ("Kwame Mensah", None, None),
    "lucia": ("Lucía Ortega", 130, 140),
}
"""Name, ready so many seconds after being asked, signed in so many after a code. Kwame cannot be reached."""

MANAGED = """
vso-plan-westeurope  orders-api        aoife   orders      main              Available  pushed    standardLinux
vso-plan-westeurope  orders-returns    bram    orders      feature/returns   Shutdown   unpushed  standardLinux
vso-plan-westeurope  storefront        chiara  storefront  main              Available  unpushed  premiumLinux
vso-plan-westeurope  storefront-hotfix aoife   storefront  release/4.2       Shutdown   pushed    standardLinux
plan-research-weu    forecast-model    elif    forecast    main              Available  pushed    premiumLinux
plan-research-weu    forecast-sweep    farah   forecast    spike/quantiles   Available  unpushed  premiumLinux
plan-research-weu    papers            hana    papers      main              Shutdown   pushed    basicLinux
plan-platform-weu    pipelines         gustav  pipelines   main              Available  pushed    standardLinux
plan-platform-weu    terraform-core    jonas   terraform   main              Available  pushed    standardLinux
plan-platform-weu    observability     ines    observ      main              Shutdown   unpushed  standardLinux
plan-platform-weu    docs              lucia   docs        main              Available  pushed    basicLinux
vso-plan-eastus      orders-api-us     aoife   orders      main              Shutdown   pushed    standardLinux
vso-plan-eastus      billing           dmitri  billing     main              Available  pushed    standardLinux
vso-plan-eastus      billing-tax       chiara  billing     feature/tax-2027  Available  unpushed  standardLinux
plan-platform-eus    gateway           gustav  gateway     main              Available  pushed    standardLinux
plan-platform-eus    gateway-canary    jonas   gateway     canary            Shutdown   pushed    standardLinux
plan-platform-eus    identity          ines    identity    main              Available  pushed    standardLinux
plan-platform-eus    load-tests        lucia   load-tests  main              Shutdown   pushed    basicLinux
plan-research-sea    imaging           hana    imaging     main              Available  pushed    premiumLinux
plan-research-sea    imaging-labels    elif    imaging     labels            Shutdown   pushed    standardLinux
plan-research-sea    genomics          farah   genomics    main              Available  unpushed  premiumLinux
plan-research-sea    notebooks         hana    notebooks   main              Shutdown   pushed    basicLinux
"""
"""Plan, name, owner, repository, branch, state, pushed or not, SKU."""

GRANTS = (
    ("vso-plan-westeurope", "aoife", "operator"),
    ("vso-plan-westeurope", "chiara", "reader"),
    ("plan-research-weu", "elif", "operator"),
    ("vso-plan-eastus", "dmitri", "operator"),
)
"""Plan, person, role: rights on plans that somebody gave by hand."""

HOSTS = """
vm-orders-build    rg-hosts-neu      northeurope    vso-plan-westeurope  orders-build     aoife   /home/aoife/src/orders
vm-payments-dev    rg-hosts-neu      northeurope    vso-plan-westeurope  payments-dev     bram    /home/bram/payments
vm-mobile-ci       rg-hosts-eus      eastus         vso-plan-westeurope  mobile-ci        kwame   /data/mobile
vm-search-weu      rg-hosts-weu      westeurope     vso-plan-westeurope  search-index     dmitri  /home/dmitri/search
vm-legacy-erp      rg-hosts-uks      uksouth        vso-plan-westeurope  legacy-erp       chiara  /home/chiara/erp
vm-desktop-win     rg-hosts-eus      eastus         vso-plan-westeurope  desktop-client   bram    C:\\src\\desktop
vm-genome-lab      rg-labs-uks       uksouth        plan-research-weu    genome-lab       farah   /data/genome
vm-climate-sim     rg-labs-neu       northeurope    plan-research-weu    climate-sim      elif    /home/elif/climate
vm-thesis-box      rg-labs-uks       uksouth        plan-research-weu    thesis-box       hana    /home/hana/thesis
lab-microscope-7   rg-labs-neu       northeurope    plan-research-weu    microscope-7     hana    /srv/microscope
vm-registry-weu    rg-platform-hosts westeurope     plan-platform-weu    registry-mirror  jonas   /home/jonas/registry
vm-deploy-agent    rg-platform-hosts northeurope    plan-platform-weu    deploy-agent     ines    /home/ines/deploy
rack-4-node-2      -                 -              plan-platform-weu    hsm-bench        gustav  /srv/hsm
vm-billing-batch   rg-hosts-eus      eastus         vso-plan-eastus      billing-batch    dmitri  /data/billing
vm-fraud-rules     rg-hosts-eus      eastus         vso-plan-eastus      fraud-rules      chiara  /home/chiara/fraud
vm-edge-proxy      rg-build-eus      eastus         plan-platform-eus    edge-proxy       jonas   /home/jonas/edge
vm-imaging-sea     rg-labs-sea       southeastasia  plan-research-sea    imaging-gpu      hana    /data/imaging
vm-annotation      rg-labs-sea       southeastasia  plan-research-sea    annotation       lucia   /home/lucia/annotate
vm-jump-neu        rg-hosts-neu      northeurope    -                    -                gustav  -
vm-bastion-weu     rg-hosts-weu      westeurope     -                    -                gustav  -
vm-artifact-cache  rg-build-eus      eastus         -                    -                jonas   -
vm-postgres-sea    rg-labs-sea       southeastasia  -                    -                hana    -
"""
"""Host, group, region, plan, environment, owner, workspace; ``-``: none."""
ARC, PHYSICAL, WINDOWS = "lab-microscope-7", "rack-4-node-2", "vm-desktop-win"
GENERATION_1 = ("vm-payments-dev", "vm-thesis-box")
WHILE_LOST = {"vm-orders-build": "succeed", "vm-payments-dev": "fail", "vm-climate-sim": "hang"}
SITES = {"northeurope": "DUB", "eastus": "BLZ", "uksouth": "LON", "westeurope": "AMS", "southeastasia": "SIN"}


@dataclass(frozen=True)
class Names:
    """Ids made of the sample's number and a name."""

    seed: int

    def guid(self, *names: str) -> str:
        return str(uuid.uuid5(SPACE, "/".join((str(self.seed), *names))))

    @property
    def tenant(self) -> str:
        return self.guid("tenant")

    def owner(self, person: str) -> str:
        return f"{self.tenant}_{self.guid('person', person)}"

    def group(self, name: str) -> str:
        return f"/subscriptions/{self.guid('subscription', GROUPS[name][0])}/resourceGroups/{name}"

    def plan(self, name: str) -> str:
        group, namespace = PLANS[name]
        return f"{self.group(group)}/providers/{namespace}/plans/{name}"

    def automation(self, name: str) -> str:
        group = self.group(workers.ACCOUNTS[name])
        return f"{group}/providers/Microsoft.Automation/automationAccounts/{name}"

    def host(self, name: str, group: str) -> str:
        if group == "-":
            return name
        kind = "Microsoft.HybridCompute/machines" if name == ARC else "Microsoft.Compute/virtualMachines"
        return f"{self.group(group)}/providers/{kind}/{name}"


def sample_seed(seed: int = 1) -> Json:
    """The estate, as a simulator's seed. ``settings`` names the hosts that no probe can find."""
    names = Names(seed)
    people = [
        {"owner": names.owner(key), "name": name, "ready_after": ready, "signs_in_after": signs}
        for key, (name, ready, signs) in PEOPLE.items()
    ]
    rows = [line.split() for line in HOSTS.strip().splitlines()]
    tags = {TARGET: {"drkit-target": "true"}}
    return {
        "drkit": "simulator-seed/1",
        "seed": seed,
        "tenant": {"id": names.tenant, "domain": "halden.example"},
        "registration_path": REGISTRATION,
        "subscriptions": [{"id": names.guid("subscription", key), "name": text} for key, text in SUBSCRIPTIONS.items()],
        "groups": [
            {"id": names.group(name), "location": region, "tags": tags.get(name, {})}
            for name, (_, region) in GROUPS.items()
        ],
        "resources": [*(_plan(names, name) for name in PLANS), _arc(names, next(row for row in rows if row[0] == ARC))],
        "hosts": [workers.outfit(names, row[0], _host(names, number, row)) for number, row in enumerate(rows)],
        "automation": workers.accounts(names),
        "environments": [
            *(_managed(names, n, line.split()) for n, line in enumerate(MANAGED.strip().splitlines())),
            *(_static(names, number, row) for number, row in enumerate(rows) if row[3] != "-"),
        ],
        "people": people,
        "assignments": [
            {"principal": names.guid("person", key), "role": role, "scope": names.plan(plan), "kind": "User"}
            for plan, key, role in GRANTS
        ],
        "settings": {
            "codespaces": {"registration": REGISTRATION},
            "host": _settings(names, rows),
            **workers.settings(names),
        },
    }


def sample_stories(seed: int = 1) -> list[Json]:
    """What happens between snapshot and outage: ``call`` and ``body`` of a control request, and in words ``tells``."""
    names = Names(seed)
    groups = {row[0]: row[1] for row in (line.split() for line in HOSTS.strip().splitlines())}

    def story(name: str, event: str, tells: str, **more: str) -> Json:
        body = {"id": names.host(name, groups[name]), "event": event, **more}
        return {"call": "host", "body": body, "tells": f"{name} {tells}"}

    restored = names.host("vm-climate-sim-r1", "rg-labs-neu")
    return [
        story("vm-orders-build", "migrate", "was live-migrated to another physical host"),
        story("vm-payments-dev", "heal", "was healed on another node, and rebooted by that"),
        story("vm-billing-batch", "reimage", "was reimaged; its East US plan is fine"),
        story("vm-genome-lab", "reimage", "was reimaged; its registration is gone with the old OS disk"),
        story("vm-climate-sim", "restore_new", "was restored as a new VM, the old one removed", new_id=restored),
        story("vm-legacy-erp", "delete", "was deleted and has no successor"),
        story("vm-thesis-box", "stop", "was stopped by its owner"),
    ]


def _plan(names: Names, name: str) -> Json:
    group, namespace = PLANS[name]
    _, region = GROUPS[group]
    sku = "defaultEnvironmentSku" if namespace == "Microsoft.VSOnline" else "defaultCodespaceSku"
    properties: Json = {"defaultAutoSuspendDelayMinutes": 30, sku: "standardLinux"}
    if namespace == "Microsoft.VSOnline":
        properties["userId"] = names.owner("gustav")
    tags = {"team": GROUPS[group][0], "cost-center": "4120"}
    return {"id": names.plan(name), "location": region, "tags": tags, "properties": properties}


def _arc(names: Names, row: list[str]) -> Json:
    return {
        "id": names.host(ARC, row[1]),
        "location": row[2],
        "tags": {"site": "Bergen"},
        "identity": {"type": "SystemAssigned", "principalId": names.guid("identity", ARC), "tenantId": names.tenant},
        "kind": "",
        "properties": {
            "status": "Connected",
            "osType": "linux",
            "osSku": "Ubuntu 22.04.5 LTS",
            "machineFqdn": f"{ARC}.halden.example",
            "vmId": names.guid("arc", ARC),
            "vmUuid": names.guid("smbios", ARC),
            "agentVersion": "1.58.03228.2672",
            "provisioningState": "Succeeded",
        },
    }


def _host(names: Names, number: int, row: list[str]) -> Json:
    name, group, region, plan, environment, person, workspace = row
    kind = {ARC: "arc", PHYSICAL: "physical"}.get(name, "azure-vm")
    windows = name == WINDOWS
    home = f"C:\\Users\\{person}" if windows else f"/home/{person}"
    machine = names.guid("machine", name).replace("-", "")
    vm_id = names.guid("smbios", name)
    entry: Json = {
        "id": names.host(name, group),
        "kind": kind,
        "hostname": name.upper() if windows else name,
        "location": region if region != "-" else "",
        "os": "windows" if windows else "linux",
        "machine_id": names.guid("machine", name) if windows else machine,
        "boot_id": DAY.format(2, 4, 12) if windows else names.guid("boot", name),
        "vm_id": vm_id,
        "generation": "V1" if name in GENERATION_1 else "V2",
        "host_keys": [] if windows else host_keys(machine),
        "macs": [mac(vm_id) if kind == "azure-vm" else f"3c:ec:ef:{vm_id[:2]}:{vm_id[2:4]}:{vm_id[4:6]}"],
        "accounts": {person: {"home": home, "person": names.owner(person)}},
        "cli": plan != "-",
    }
    if kind == "azure-vm":
        entry["physical_host"] = f"{SITES[region]}{20 + number}PrdApp{10 + number}"
        entry["vm"] = {"size": "Standard_D4s_v5", "created": DAY.format(1 + number % 9, 8, number)}
    if plan != "-":
        path = f"{home}\\.vsonline\\environment.json" if windows else REGISTRATION.replace("~", home)
        entry["registrations"] = [{"id": names.guid("environment", plan, environment), "user": person, "path": path}]
        entry["folders"] = [workspace]
    if name in WHILE_LOST:
        entry["behaviour"] = {"stop_while_lost": WHILE_LOST[name]}
    return entry


def _environment(names: Names, number: int, plan: str, name: str, person: str) -> Json:
    return {
        "id": names.guid("environment", plan, name),
        "friendlyName": name,
        "planId": names.plan(plan),
        "ownerId": names.owner(person),
        "created": DAY.format(2 + number % 8, 9, number),
        "updated": DAY.format(18, 7 + number % 10, number),
        "lastUsed": DAY.format(18 + number % 4, 7 + number % 10, number),
    }


def _managed(names: Names, number: int, row: list[str]) -> Json:
    plan, name, person, repository, branch, state, pushed, sku = row
    address = f"https://github.com/halden/{repository}"
    return {
        **_environment(names, number, plan, name, person),
        "type": "cloudEnvironment",
        "state": state,
        "seed": {"type": "git", "moniker": address if branch == "main" else f"{address}/tree/{branch}"},
        "skuName": sku,
        "autoShutdownDelayMinutes": 30,
        "hasUnpushedGitChanges": pushed == "unpushed",
        "recentFolders": [f"/home/codespace/workspace/{repository}"],
    }


def _static(names: Names, number: int, row: list[str]) -> Json:
    _, _, _, plan, environment, person, workspace = row
    return {
        **_environment(names, number, plan, environment, person),
        "type": "staticEnvironment",
        "state": "Available",
        "recentFolders": [workspace],
    }


def _settings(names: Names, rows: list[list[str]]) -> list[Json]:
    """[[host]] entries for hosts that drkit registers nothing on: environment, host, channel, user, workspace."""
    return [
        {
            "environment": names.guid("environment", row[3], row[4]),
            "name": row[4],
            "host": names.host(row[0], row[1]),
            "channel": "" if row[0] == WINDOWS else "manual",
            "user": row[5],
            "workspace": row[6],
        }
        for row in rows
        if row[0] in (ARC, PHYSICAL, WINDOWS)
    ]
