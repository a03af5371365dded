"""Regions and resource providers as Azure publishes them: data only."""

from __future__ import annotations

LOCATIONS: tuple[tuple[str, str, str], ...] = (
    ("eastus", "East US", "westus"),
    ("eastus2", "East US 2", "centralus"),
    ("centralus", "Central US", "eastus2"),
    ("westus", "West US", "eastus"),
    ("westus2", "West US 2", "westcentralus"),
    ("westcentralus", "West Central US", "westus2"),
    ("northeurope", "North Europe", "westeurope"),
    ("westeurope", "West Europe", "northeurope"),
    ("uksouth", "UK South", "ukwest"),
    ("ukwest", "UK West", "uksouth"),
    ("francecentral", "France Central", "francesouth"),
    ("francesouth", "France South", "francecentral"),
    ("germanywestcentral", "Germany West Central", "germanynorth"),
    ("germanynorth", "Germany North", "germanywestcentral"),
    ("southeastasia", "Southeast Asia", "eastasia"),
    ("eastasia", "East Asia", "southeastasia"),
)
"""Name, display name, paired region. https://learn.microsoft.com/azure/reliability/regions-list"""

CODESPACES = ["eastus", "southeastasia", "westeurope", "westus2"]

AUTOMATION = [name for name, _, _ in LOCATIONS if name != "germanynorth"]
"""https://learn.microsoft.com/azure/automation/how-to/automation-region-dns-records"""

PROVIDERS: dict[str, dict[str, list[str]]] = {
    "microsoft.resources": {"resourceGroups": [], "subscriptions": []},
    "microsoft.authorization": {"roleAssignments": []},
    "microsoft.compute": {
        "virtualMachines": [],
        "virtualMachines/extensions": [],
        "disks": [],
        "locations/operations": [],
    },
    "microsoft.network": {"networkInterfaces": [], "virtualNetworks": []},
    "microsoft.hybridcompute": {"machines": [], "machines/extensions": []},
    "microsoft.automation": {"automationAccounts": AUTOMATION},
    "microsoft.resourcehealth": {"availabilityStatuses": [], "events": []},
    "microsoft.insights": {"metrics": [], "eventtypes": []},
    "microsoft.storage": {"storageAccounts": []},
    "microsoft.operationalinsights": {"workspaces": []},
    "microsoft.managedidentity": {"userAssignedIdentities": []},
    "microsoft.resourcegraph": {"resources": []},
    "microsoft.recoveryservices": {"vaults": []},
    "microsoft.vsonline": {"plans": CODESPACES},
    "microsoft.codespaces": {"plans": CODESPACES},
}
"""Namespace (lower case) -> type -> the regions it exists in (empty: all)."""

NAMES = {
    name.lower(): name
    for name in (
        "Microsoft.Resources",
        "Microsoft.Authorization",
        "Microsoft.Compute",
        "Microsoft.Network",
        "Microsoft.HybridCompute",
        "Microsoft.Automation",
        "Microsoft.ResourceHealth",
        "Microsoft.Insights",
        "Microsoft.ResourceGraph",
        "Microsoft.RecoveryServices",
        "Microsoft.Storage",
        "Microsoft.OperationalInsights",
        "Microsoft.ManagedIdentity",
        "Microsoft.VSOnline",
        "Microsoft.Codespaces",
    )
}
BUILT_IN = frozenset({"microsoft.resources", "microsoft.authorization", "microsoft.resourcehealth"})
"""Registered in every subscription."""

API_VERSIONS = {
    "microsoft.resources": "2024-11-01",
    "microsoft.authorization": "2022-04-01",
    "microsoft.compute": "2024-11-01",
    "microsoft.network": "2024-05-01",
    "microsoft.hybridcompute": "2024-07-10",
    "microsoft.automation": "2024-10-23",
    "microsoft.resourcehealth": "2025-05-01",
    "microsoft.insights": "2024-02-01",
    "microsoft.resourcegraph": "2022-10-01",
    "microsoft.recoveryservices": "2025-08-01",
    "microsoft.storage": "2025-06-01",
    "microsoft.operationalinsights": "2025-07-01",
    "microsoft.managedidentity": "2024-11-30",
    "microsoft.vsonline": "2020-05-26-preview",
    "microsoft.codespaces": "2020-06-16",
}
