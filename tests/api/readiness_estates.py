"""Estates that have what ``check`` promises to find, and estates that have not: data.

A case changes one thing of a base estate. ``seed`` and ``settings`` are changed before anything runs, ``first`` are control calls
before the snapshot, ``then`` after it; ``finds`` is (rule, severity, words in it). ``fine``: what else must be changed for the same
estate without the fault (default: nothing but the fault is left out); ``beside``: control calls of that estate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support import estates, workers
from tests.support import worker_estate as seeds
from tests.support.simulator_thread import SUB, TENANT, group_id, host

Json = dict[str, Any]
Control = tuple[str, Json]
ACCOUNT = "Microsoft.Automation/automationAccounts"
EUS = group_id("dev-eus")
ALLOWED = "/providers/Microsoft.Authorization/policyDefinitions/e56962a6-4747-49cd-b67b-bf8b01975c4c"
ALLOWED_GROUPS = "/providers/Microsoft.Authorization/policyDefinitions/e765b5de-1225-4ba3-bd56-1ac6695af988"
DENIED_TYPES = "/providers/Microsoft.Authorization/policyDefinitions/6c112d4e-5bc7-47ae-a041-ea2d9dccd749"
ALLOWED_TYPES = "/providers/Microsoft.Authorization/policyDefinitions/a08ec900-254a-4555-9bf5-e42af04b5c5c"
OWN = f"/subscriptions/{SUB}/providers/Microsoft.Authorization/policyDefinitions/own"
SETS = "/providers/Microsoft.Authorization/policySetDefinitions"
VAULT = f"{group_id('dev-ne')}/providers/Microsoft.KeyVault/vaults/kv"
POOL = f"{group_id('dev-ne')}/providers/Microsoft.Compute/virtualMachineScaleSets/agents"
WHO = f"{group_id('dev-ne')}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/drkit"
STORE = f"{group_id('dev-ne')}/providers/Microsoft.Storage/storageAccounts/drkitstore"


@dataclass(frozen=True)
class Case:
    """One estate; see the module."""

    name: str
    finds: tuple[str, str, str]
    base: str = "workers"
    seed: Mapping[str, Any] = field(default_factory=dict)
    settings: str = ""
    targets: str = '["eastus"]'
    first: tuple[Control, ...] = ()
    then: tuple[Control, ...] = ()
    act: Callable[[Any], None] | None = None
    role: str = "owner"
    hours: float = 0.0
    store: str = ""
    snapshots: int = 1
    fine: Mapping[str, Any] = field(default_factory=dict)

    def well(self) -> Case:
        """The same estate without the fault."""
        kept: Json = {"name": self.name, "finds": self.finds, "base": self.base}
        return Case(**{**kept, **self.fine})


def seed_of(case: Case) -> Json:
    """The simulator's seed of a case."""
    made: Json = {"codespaces": estates.seed, "workers": workers.content, "vms": machines}[case.base]()
    for key, value in case.seed.items():
        made[key] = value(made.get(key, [])) if callable(value) else value
    return made


def settings_of(case: Case) -> str:
    """The drkit.toml of a case."""
    own = {"codespaces": estates.SETTINGS.partition("]\n")[2], "workers": workers.NAMED, "vms": ""}[case.base]
    if "# no channels" in case.settings:
        own = own.replace('azure_vm = "run-command"', "")
    if "# by its tag" in case.settings:
        own = "\n".join(line for line in own.splitlines() if not line.startswith("replicas"))
    targets = "" if case.targets == "none" else f"targets = {case.targets}\n"
    return f"{targets}{own}\n{case.settings}\n"


def machines() -> Json:
    """Three VMs and no plan, as on somebody's first day."""
    return {
        "drkit": "simulator-seed/1",
        "seed": 3,
        "tenant": {"id": TENANT, "domain": "contoso.onmicrosoft.com"},
        "subscriptions": [{"id": SUB, "name": "Contoso"}],
        "groups": [
            {"id": group_id("dev-ne"), "location": "northeurope"},
            {"id": group_id("dev-we"), "location": "westeurope"},
        ],
        "hosts": [host(f"vm-{number}", "dev-we", "westeurope") for number in range(3)],
    }


def _also(*entries: Json) -> Callable[[list[Json]], list[Json]]:
    return lambda there: [*there, *entries]


def _environment(name: str, **more: Any) -> Callable[[list[Json]], list[Json]]:
    return lambda there: [{**one, **(more if one["friendlyName"] == name else {})} for one in there]


def _resource(arm_id: str, location: str) -> Json:
    return {"id": arm_id, "location": location, "properties": {}}


def _account(name: str, **more: Any) -> Callable[[list[Json]], list[Json]]:
    return lambda there: [{**one, **(more if one["id"].endswith(f"/{name}") else {})} for one in there]


def _without(*names: str) -> Callable[[list[Json]], list[Json]]:
    return lambda there: [one for one in there if not one["id"].endswith(names)]


def _policy(definition: str, scope: str = f"/subscriptions/{SUB}", **more: Any) -> Control:
    entry = {"scope": scope, "name": "rule", "display": "House rule", "definition": definition, **more}
    return ("governance", {"policies": [entry], "policy_definitions": more.pop("definitions", [])})


def _places(definition: str, *regions: str, **more: Any) -> Control:
    return _policy(definition, parameters={"listOfAllowedLocations": {"value": list(regions)}}, **more)


def _own(effect: str, **more: Any) -> Control:
    rule = {"if": {"field": "type", "equals": ACCOUNT}, "then": {"effect": effect}}
    own = {"id": OWN, "properties": {"policyRule": rule, "parameters": more.pop("parameters_of_rule", {})}}
    entry = {"scope": f"/subscriptions/{SUB}", "name": "own", "display": "Own rule", "definition": OWN, **more}
    return ("governance", {"policies": [entry], "policy_definitions": [own]})


def _initiative(where: list[str], effect: str = "Audit") -> Control:
    """Two policies: the allowed locations, and one whose effect is the initiative's own parameter."""
    members = [
        {"policyDefinitionId": ALLOWED, "parameters": {"listOfAllowedLocations": {"value": "[parameters('where')]"}}},
        {"policyDefinitionId": OWN, "parameters": {"effect": {"value": "[parameters('effect')]"}}},
    ]
    rule = {"if": {"field": "type", "equals": ACCOUNT}, "then": {"effect": "[parameters('effect')]"}}
    defaults = {"where": {"type": "Array"}, "effect": {"type": "String", "defaultValue": "Audit"}}
    known = [
        {"id": f"{SETS}/house", "properties": {"policyDefinitions": members, "parameters": defaults}},
        {"id": OWN, "properties": {"policyRule": rule, "parameters": {"effect": {"type": "String"}}}},
    ]
    given = {"where": {"value": where}, "effect": {"value": effect}}
    entry = {"scope": f"/subscriptions/{SUB}", "name": "set", "definition": f"{SETS}/house", "parameters": given}
    return ("governance", {"policies": [entry], "policy_definitions": known})


def _lock(scope: str, level: str) -> Control:
    return ("governance", {"locks": [{"scope": scope, "name": "keep", "level": level, "notes": "ask Grace"}]})


def _taken_meanwhile(world: Any) -> None:
    """Somebody makes a plan under the very name, after the snapshot."""
    from drkit.simulator.core.state import Resource, ResourceGroup

    group = f"/subscriptions/{estates.SUBSCRIPTION}/resourceGroups/drkit-eastus"
    world.groups[group.lower()] = ResourceGroup(
        group, estates.SUBSCRIPTION, "drkit-eastus", "eastus", {"drkit-target": "true"}
    )
    kind, name = "Microsoft.VSOnline/plans", "plan-weu-eastus"
    world.put(Resource(f"{group}/providers/{kind}/{name}", kind, name, "eastus"))


def _most_are_deleted(world: Any) -> None:
    for key in list(world.environments)[:5]:
        del world.environments[key]


ALONE = {"automation": _without("auto-dr", "auto-eus")}
"""No account was prepared: a move would make one."""
OPERATOR = [
    "*/read",
    "Microsoft.Automation/automationAccounts/hybridRunbookWorkerGroups/write",
    "Microsoft.Automation/automationAccounts/hybridRunbookWorkerGroups/hybridRunbookWorkers/write",
    "Microsoft.HybridCompute/machines/extensions/*",
]
TIGHT = "[objectives]\nrecovery_time_minutes = 20\n"
DEAD = {"url": "/hybridRunbookWorkerGroups", "status": 500, "times": 0}

CASES = (
    # the snapshot
    Case("no snapshot", ("snapshot", "error", "there is no snapshot"), snapshots=0),
    Case("an old snapshot", ("snapshot", "error", "old"), hours=30.0, fine={"hours": 20.0}),
    Case(
        "an old snapshot, where less is asked", ("snapshot", "error", "old"), hours=20.0,
        settings="[check]\nsnapshot_hours = 12", fine={"hours": 11.0, "settings": "[check]\nsnapshot_hours = 12"},
    ),
    Case("a plan that was not captured", ("snapshot", "error", "not at all"), base="codespaces", targets='["eastus"]',
         first=(("lose", {"region": "westeurope", "announce": False}),), then=(("restore", {"region": "westeurope"}),),
         fine={"targets": '["eastus"]'}),
    Case("grants that could not be read", ("snapshot", "warning", "in part"),
         first=(("fault", {"url": "roleAssignments", "status": 403, "code": "AuthorizationFailed", "times": 0}),)),
    Case("a sudden fall in numbers", ("snapshot", "warning", "fell from"), base="codespaces", snapshots=2,
         act=_most_are_deleted,
         fine={"snapshots": 2}),
    Case("what Reader does not see", ("snapshot", "unknown", "from inside"),
         fine={"settings": '[channels]\nazure_vm = "run-command"'}),
    # unpushed work
    Case("unpushed work of last week", ("unpushed", "error", "api has had unpushed work"), base="codespaces",
         seed={"environments": _environment("api", hasUnpushedGitChanges=True)}),
    Case("unpushed work is younger than what may be lost", ("unpushed", "error", "api has had unpushed work"), base="codespaces",
         seed={"environments": _environment("api", hasUnpushedGitChanges=True)},
         fine={"seed": {"environments": _environment("api", hasUnpushedGitChanges=True)},
               "settings": "[objectives]\nrecovery_point_minutes = 525600"}),
    Case("nobody can say whether work was pushed", ("unpushed", "unknown", "web-01"), fine={"base": "codespaces"}),
    # hosts
    Case("a stopped host", ("host", "error", "web-01 does not run"), then=(("host", {"id": workers.WEB, "event": "stop"}),)),
    Case("a host that was stopped and started", ("host", "error", "web-01 does not run"),
         then=(("host", {"id": workers.WEB, "event": "stop"}),),
         fine={"then": (("host", {"id": workers.WEB, "event": "stop"}), ("host", {"id": workers.WEB, "event": "start"}))}),
    Case("an agent that is not ready", ("host", "error", "agent is not ready"),
         then=(("host", {"id": workers.WEB, "event": "behave", "vm_agent": "not-ready"}),)),
    Case("a host that was deleted", ("host", "error", "web-01 is gone"), then=(("host", {"id": workers.WEB, "event": "delete"}),)),
    Case("an Arc machine that is not connected", ("host", "error", "cupboard: Arc says Disconnected"),
         then=(("change", {"id": workers.CUPBOARD, "patch": {"properties": {"status": "Disconnected"}}}),)),
    Case("a host that only a person reaches", ("host", "unknown", "rack is reached by a person"), base="codespaces",
         fine={"base": "workers"}),
    Case("no channel to the hosts", ("person", "warning", "build waits for a person"), base="codespaces", settings="# no channels",
         fine={}),
    Case("a host in the region", ("person", "warning", "web-02 is lost too"),
         fine={"seed": {"hosts": _without("web-02"), "automation": lambda there: [
             {**one, "groups": [{**group, "workers": [w for w in group.get("workers", []) if "web-02" not in w["machine"]]}
                                for group in one.get("groups", [])]} for one in there]}}),
    # where to
    Case("no target region", ("target", "warning", "no target region is set"), targets="none"),
    Case("nowhere to go", ("target", "error", "nowhere to go"), targets='["westeurope"]'),
    Case("a target that holds plans", ("target", "warning", "eastus is a target, and holds plans"), base="codespaces",
         fine={"targets": '["westus2"]'}),
    Case("a region without the product", ("offer", "error", "offered in eastus"), base="codespaces", targets='["northeurope"]'),
    Case("a region without Automation", ("offer", "error", "not offered there"), targets='["germanynorth"]'),
    Case("one good region and one that is not", ("offer", "warning", "not offered there"), targets='["germanynorth", "eastus"]',
         fine={"targets": '["uksouth", "eastus"]'}),
    Case("the service does not answer at the target", ("offer", "error", "does not answer"), base="codespaces", targets='["westus2"]',
         then=(("lose", {"region": "westus2", "announce": False}),), fine={"targets": '["westus2"]'}),
    Case("a machine type that is not offered", ("sku", "error", "giantLinux"), base="codespaces",
         seed={"environments": _environment("api", skuName="giantLinux")}),
    Case("too few cores", ("quota", "error", "cores are needed"), base="codespaces",
         then=(("quota", {"kind": "cores", "region": "eastus", "limit": 3}),)),
    Case("cores that nobody can count", ("quota", "unknown", "how many are left is not known"), base="codespaces", targets='["westus2"]',
         fine={"targets": '["eastus"]'}),
    Case("too many plans", ("quota", "error", "more plans"), base="codespaces",
         settings="[products.codespaces]\nplans_per_subscription = 2",
         fine={"settings": "[products.codespaces]\nplans_per_subscription = 3"}),
    Case("a provider that is not registered", ("provider", "error", "NotRegistered"),
         then=(("register", {"subscription": SUB, "namespace": "Microsoft.Automation", "registered": False}),)),
    Case("a provider that cannot be asked", ("provider", "unknown", "not known"),
         then=(("fault", {"url": "/providers/Microsoft.Automation[?]", "status": 403, "code": "AuthorizationFailed", "times": 0}),)),
    Case("nobody knows what room there will be", ("capacity", "unknown", "not known"), fine={"base": "vms"}),
    # machines on the first day
    Case("too few cores for the machines", ("quota", "warning", "would need 6 cores"), base="vms",
         then=(("quota", {"kind": "cores", "region": "eastus", "limit": 5}),)),
    Case("a size that is barred there", ("sku", "warning", "Standard_D2s_v5"), base="vms",
         then=(("quota", {"kind": "sku", "region": "eastus", "limit": 0}),)),
    Case("sizes that cannot be listed", ("sku", "unknown", "not known"), base="vms",
         then=(("fault", {"url": "/skus", "status": 403, "code": "AuthorizationFailed", "times": 0}),)),
    Case("a machine elsewhere in a group of the region", ("group-place", "error", "vm-9 is in northeurope"), base="vms",
         seed={"hosts": _also(host("vm-9", "dev-we", "northeurope"))}),
    # names
    Case("a name that is taken", ("name", "error", "is taken"), base="codespaces", act=_taken_meanwhile),
    Case("an account of that name that was deleted", ("deleted", "warning", "auto-we-eastus"), seed=ALONE,
         then=(("governance", {"deleted_accounts": [{"id": f"{EUS}/providers/{ACCOUNT}/auto-we-eastus", "location": "eastus",
                "account_id": seeds.NEW, "deleted": "2026-11-20T09:00:00Z"}]}),),
         fine={"seed": ALONE, "then": (("governance", {"deleted_accounts": [{"id": f"{EUS}/providers/{ACCOUNT}/another",
               "location": "eastus", "account_id": seeds.NEW, "deleted": "2026-11-20T09:00:00Z"}]}),)}),
    Case("deleted plans that nobody can list", ("deleted", "unknown", "no way to ask"), base="codespaces",
         fine={"base": "workers", "seed": ALONE}),
    Case("deleted accounts that may not be listed", ("deleted", "unknown", "not known"), seed=ALONE,
         then=(("fault", {"url": "deletedAutomationAccounts", "status": 403, "code": "AuthorizationFailed", "times": 0}),),
         fine={"seed": ALONE}),
    # permissions
    Case("an identity that only reads", ("permission", "unknown", "may make none of the calls"), role="reader", fine={"role": "operator"}),
    Case("a reader that is said to act", ("permission", "error", "extensions/write"), role="reader",
         settings='[check]\nroles = ["operator"]',
         fine={"role": "operator", "settings": '[check]\nroles = ["operator"]'}),
    Case("an operator without extensions", ("permission", "error", "Microsoft.Compute/virtualMachines/extensions/write"), role="operator",
         seed={"roles": [{"name": "operator", "actions": OPERATOR}]}, fine={"role": "operator"}),
    Case("an operator that may make no plan", ("permission", "error", "Microsoft.VSOnline/plans/write"), base="codespaces", role="operator",
         seed={"roles": [{"name": "operator", "actions": ["*/read", "*/action", "Microsoft.Resources/*"]}]}, fine={"role": "operator"}),
    Case("permissions that cannot be read", ("permission", "unknown", "not known"), role="reader",
         settings='[check]\nroles = ["operator"]',
         then=(("fault", {"url": "/permissions", "status": 403, "code": "AuthorizationFailed", "times": 0}),),
         fine={"role": "operator", "settings": '[check]\nroles = ["operator"]'}),
    Case("an identity that may not list what others made", ("permission", "warning", "readAllEnvironments"), base="codespaces",
         role="reader", fine={"role": "planner"}),
    Case("an identity that may not probe", ("permission", "warning", "may not run them on 2"), base="codespaces", role="planner",
         fine={"role": "operator"}),
    # locks
    Case("a read-only lock on the target's group", ("lock", "error", "ReadOnly lock (ask Grace)"), then=(_lock(EUS, "ReadOnly"),)),
    Case("a lock against deletion on a host", ("lock", "error", "extensions/delete"), then=(_lock(workers.WEB, "CanNotDelete"),),
         fine={"then": (_lock(EUS, "CanNotDelete"),)}),
    Case("a read-only lock on the subscription", ("lock", "error", "ReadOnly"), base="codespaces",
         then=(_lock(f"/subscriptions/{estates.SUBSCRIPTION}", "ReadOnly"),),
         fine={"then": (_lock(f"/subscriptions/{estates.SUBSCRIPTION}", "CanNotDelete"),)}),
    Case("locks that may not be listed", ("lock", "unknown", "not known"),
         then=(("fault", {"url": "/locks", "status": 403, "code": "AuthorizationFailed", "times": 0}),)),
    # policies
    Case("the target is no allowed location", ("policy", "error", "does not allow eastus"), seed=ALONE,
         then=(_places(ALLOWED, "westeurope"),),
         fine={"seed": ALONE, "then": (_places(ALLOWED, "westeurope", "East US"),)}),
    Case("no group may be made at the target", ("policy", "error", "does not allow eastus"), seed=ALONE,
         then=(_places(ALLOWED_GROUPS, "westeurope"),),
         fine={"seed": ALONE, "then": (_places(ALLOWED_GROUPS, "westeurope", enforcement="DoNotEnforce"),)}),
    Case("the allowed locations of a management group", ("policy", "error", "does not allow eastus"), seed=ALONE,
         then=(_places(ALLOWED, "westeurope", scope="/providers/Microsoft.Management/managementGroups/all"),),
         fine={"seed": ALONE, "then": (_places(ALLOWED, "westeurope", not_scopes=[f"/subscriptions/{SUB}"]),)}),
    Case("a type that is denied", ("policy", "error", ACCOUNT), seed=ALONE,
         then=(_policy(DENIED_TYPES, parameters={"listOfResourceTypesNotAllowed": {"value": [ACCOUNT]}}),),
         fine={"seed": ALONE, "then": (_policy(DENIED_TYPES, parameters={"listOfResourceTypesNotAllowed": {"value": ["A/b"]}}),)}),
    Case("a type that is not among the allowed", ("policy", "error", ACCOUNT), seed=ALONE,
         then=(_policy(ALLOWED_TYPES, parameters={"listOfResourceTypesAllowed": {"value": ["A/b"]}}),),
         fine={"seed": ALONE, "then": (_policy(ALLOWED_TYPES, parameters={"listOfResourceTypesAllowed": {"value": [ACCOUNT]}}),)}),
    Case("a policy that drkit cannot evaluate", ("policy", "unknown", "Own rule"), seed=ALONE, then=(_own("deny"),),
         fine={"seed": ALONE, "then": (_own("audit"),)}),
    Case("a policy whose effect is a parameter", ("policy", "unknown", "Own rule"), seed=ALONE,
         then=(_own("[parameters('effect')]", parameters={"effect": {"value": "Deny"}}),),
         fine={"seed": ALONE, "then": (_own("[parameters('effect')]", parameters={"effect": {"value": "Audit"}}),)}),
    Case("an initiative that cannot be read", ("policy", "unknown", "could not be read"), seed=ALONE,
         then=(_policy(f"{SETS}/gone"),), fine={"seed": ALONE}),
    Case("an initiative that allows other locations", ("policy", "error", "does not allow eastus"), seed=ALONE,
         then=(_initiative(where=["westeurope"]),), fine={"seed": ALONE, "then": (_initiative(where=["eastus"]),)}),
    Case("an initiative one of whose policies denies", ("policy", "unknown", "1 of the 2 policies"), seed=ALONE,
         then=(_initiative(where=["eastus"], effect="Deny"),),
         fine={"seed": ALONE, "then": (_initiative(where=["eastus"], effect="AuditIfNotExists"),)}),
    Case("a policy whose rule is nonsense", ("policy", "unknown", "Odd"), seed=ALONE,
         then=(("governance", {
             "policies": [{"scope": f"/subscriptions/{SUB}", "name": "Odd", "definition": OWN, "parameters": "?", "not_scopes": "?"}],
             "policy_definitions": [{"id": OWN, "properties": {"policyRule": ["?"], "parameters": "?"}}]}),), fine={"seed": ALONE}),
    Case("policies that may not be listed", ("policy", "unknown", "not known"),
         then=(("fault", {"url": "/policyAssignments", "status": 403, "code": "AuthorizationFailed", "times": 0}),)),
    # what drkit needs
    Case("the store in the region", ("place", "error", "the state store drkitstore is in westeurope"),
         store="https://drkitstore.blob.core.windows.net", seed={"resources": _also(_resource(STORE, "westeurope"))},
         fine={"store": "https://drkitstore.blob.core.windows.net", "seed": {"resources": _also(_resource(STORE, "eastus"))}}),
    Case("a store that nobody can see", ("place", "unknown", "drkitstore"), store="https://drkitstore.blob.core.windows.net",
         fine={"store": "https://drkitstore.blob.core.windows.net", "seed": {"resources": _also(_resource(STORE, "eastus"))}}),
    Case("the identity in the region", ("place", "error", "the identity drkit is in westeurope"),
         seed={"resources": _also(_resource(WHO, "westeurope")), "principals": [{"role": "owner", "resource": WHO}]},
         fine={"seed": {"resources": _also(_resource(WHO, "eastus")), "principals": [{"role": "owner", "resource": WHO}]}}),
    Case("an identity for its own region only", ("place", "warning", "isolation scope Regional"), settings=f'[check]\nneeds = ["{WHO}"]',
         seed={"resources": _also({**_resource(WHO, "eastus"), "properties": {"isolationScope": "Regional"}})},
         fine={"settings": f'[check]\nneeds = ["{WHO}"]', "seed": {"resources": _also(_resource(WHO, "eastus"))}}),
    Case("the key vault in the region", ("place", "error", "the key vault kv is in westeurope"),
         settings=f'[check]\nneeds = ["{VAULT}"]',
         seed={"resources": _also(_resource(VAULT, "westeurope"))},
         fine={"settings": f'[check]\nneeds = ["{VAULT}"]', "seed": {"resources": _also(_resource(VAULT, "eastus"))}}),
    Case("the agent pool in a group of the region", ("place", "error", "the agent pool agents is in a resource group"),
         settings=f'[check]\nneeds = ["{POOL.replace("dev-ne", "dev-we")}"]',
         seed={"resources": _also(_resource(POOL.replace("dev-ne", "dev-we"), "eastus"))},
         fine={"settings": f'[check]\nneeds = ["{POOL}"]', "seed": {"resources": _also(_resource(POOL, "eastus"))}}),
    Case("agents in the region", ("place", "error", "this machine is in westeurope"), settings='[check]\nmachine = "West Europe"',
         fine={"settings": '[check]\nmachine = "East US"'}),
    Case("agents whose region nobody knows", ("place", "unknown", "the region of this machine"),
         fine={"settings": '[check]\nmachine = "East US"'}),
    Case("an account that only its tag names", ("replica", "warning", "auto-dr would take over from auto-we"), settings="# by its tag"),
    # groups
    Case("a host in a group of the region", ("group-place", "error", "stray is in northeurope"), fine={"base": "codespaces"}),
    Case("a target's group in the region", ("group-place", "warning", "is tagged for drkit's targets"),
         first=(("change", {"id": group_id("dev-we"), "patch": {"tags": {"drkit-target": "true"}}}),),
         fine={"first": (("change", {"id": EUS, "patch": {"tags": {"drkit-target": "true"}}}),)}),
    Case("the account that takes over, in a group of the region", ("group-place", "error", "auto-dr is to take over"),
         settings="# by its tag", seed={"automation": _account("auto-dr", id=f"{group_id('dev-we')}/providers/{ACCOUNT}/auto-dr")}),
    # in time
    Case("an objective that cannot be kept", ("forecast", "error", "the objective is 20 min"), settings=TIGHT,
         fine={"settings": "[objectives]\nrecovery_time_minutes = 30\n"}),
    Case("people are slower than the objective", ("forecast", "error", "the objective is 20 min"), base="codespaces", settings=TIGHT),
)  # fmt: skip
