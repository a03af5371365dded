"""Microsoft.ResourceGraph: a few queries, known by their table and type; no query language.

https://learn.microsoft.com/rest/api/azureresourcegraph/resourcegraph/resources/resources and
https://learn.microsoft.com/azure/governance/resource-graph/concepts/guidance-for-throttled-requests

A query is read for its table, the types it asks for, the columns its ``project`` and ``extend`` name, and two filters.
Columns are known by their name: those of the queries below, and those of the table. Anything else is refused.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from drkit.simulator.arm.identity import allowed
from drkit.simulator.core.clock import precise
from drkit.simulator.core.routing import Call, Route
from drkit.simulator.core.state import Json, World
from drkit.simulator.core.wire import Answer, ArmError
from drkit.simulator.signals import resource_graph_rows

PAGE = 1000
QUERIES, WINDOW = 15, timedelta(seconds=5)
COMMENT, TYPE = (
    re.compile(r"//[^\n]*"),
    re.compile(r"\b(?:type|targetResourceType)\s*(?:=~|==)\s*'([^']*)'", re.IGNORECASE),
)
OF_TARGET = re.compile(r"\bid\s*=[^,|]*\btargetResourceId\b", re.IGNORECASE)
"""The row's id is made that of the resource it speaks of."""
COLUMN = re.compile(r"\s*(\w+)\s*(?:=(?![=~])|\Z)")

Rows = Callable[[World, set[str]], Iterator[Json]]


# the throttle


def take(world: World, user: str) -> dict[str, str]:
    """Count a query of that user: the headers of the answer; RateLimiting (429) beyond the quota of the window."""
    now = world.now()
    began, used = world.graph_queries.get(user, (now, 0))
    if now - began >= WINDOW:
        began, used = now, 0
    world.graph_queries[user] = (began, used + 1)
    seconds = max(1, math.ceil((began + WINDOW - now).total_seconds()))
    said = {
        "x-ms-user-quota-remaining": str(max(0, QUERIES - used - 1)),
        "x-ms-user-quota-resets-after": f"00:00:{seconds:02}",
    }
    if used >= QUERIES:
        raise ThrottledError(now, said)
    return said


class ThrottledError(ArmError):
    """Beyond the quota, in Resource Graph's words."""

    def __init__(self, now: datetime, headers: dict[str, str]) -> None:
        text = f"Please provide below info when asking for support: timestamp = {precise(now)}"
        super().__init__(429, "RateLimiting", text, headers)

    def answer(self) -> Answer:
        text = (
            "Client application has been throttled and should not attempt to repeat the request until an amount of time "
            "has elapsed. Please see https://aka.ms/resourcegraph-throttling for help."
        )
        details = [{"code": "RateLimiting", "message": text}]
        error = {"code": self.code, "message": self.message, "details": details}
        return Answer(self.status, {"error": error}, self.headers)


# the queries


def machines(world: World, subscriptions: set[str]) -> Iterator[Json]:
    """VMs joined with their availability and latest annotation, in the columns of that query."""
    states: dict[str, Json] = {}
    notes: dict[str, Json] = {}
    for row in resource_graph_rows.health(world, subscriptions):
        table = states if row["type"].endswith("availabilitystatuses") else notes
        table[row["properties"]["targetResourceId"].lower()] = row["properties"]
    for row in resource_graph_rows.resources(world, subscriptions):
        yield _machine(row, states.get(row["id"].lower(), {}), notes.get(row["id"].lower(), {}))


def _machine(row: Json, state: Json, note: Json) -> Json:
    properties, key = row["properties"], row["id"].lower()
    disk = (properties.get("storageProfile") or {}).get("osDisk") or {}
    return row | {
        "id": key,
        "vmId": str(properties.get("vmId", "")).lower(),
        "timeCreated": properties.get("timeCreated", ""),
        "power": properties["extended"]["instanceView"]["powerState"]["code"],
        "osDisk": (disk.get("managedDisk") or {}).get("id", "").lower(),
        "osType": disk.get("osType", ""),
        "ephemeral": (disk.get("diffDiskSettings") or {}).get("option", "").lower() == "local",
        "nics": (properties.get("networkProfile") or {}).get("networkInterfaces"),
        "principalId": (row["identity"] or {}).get("principalId", ""),
        "id1": key if state else "",
        "state": state.get("availabilityState", ""),
        "prevState": state.get("previousAvailabilityState", ""),
        "stateTime": state.get("occurredTime"),
        "id2": key if note else "",
        "annotation": note.get("annotationName", ""),
        "impactType": note.get("impactType", ""),
        "context": note.get("context", ""),
        "category": note.get("category", ""),
        "noteTime": note.get("occurredTime"),
    }


def health(world: World, subscriptions: set[str]) -> Iterator[Json]:
    """Availability and annotations as they stand, with the columns of the joined query."""
    for row in resource_graph_rows.health(world, subscriptions):
        properties = row["properties"]
        yield row | {
            "targetId": properties["targetResourceId"].lower(),
            "state": properties.get("availabilityState", ""),
            "prevState": properties.get("previousAvailabilityState", ""),
            "stateTime": properties["occurredTime"],
            "annotation": properties.get("annotationName", ""),
            "impactType": properties.get("impactType", ""),
            "context": properties.get("context", ""),
            "category": properties.get("category", ""),
            "noteTime": properties["occurredTime"],
        }


def changes(world: World, subscriptions: set[str]) -> Iterator[Json]:
    """Changes of health, with the columns that the documented query adds."""
    for row in resource_graph_rows.health_changes(world, subscriptions):
        properties, changed = row["properties"], row["properties"]["changes"]
        target = properties["targetResourceId"].lower()

        def new(name: str, changed: Json = changed) -> str:
            return str((changed.get(f"properties.{name}") or {}).get("newValue", ""))

        yield row | {
            "t": properties["changeAttributes"]["timestamp"],
            "targetId": target.partition("/providers/microsoft.resourcehealth/")[0],
            "annotation": new("annotationName"),
            "impactType": new("impactType"),
            "context": new("context"),
            "occurred": new("occurredTime"),
            "state": new("availabilityState"),
            "previous": new("previousAvailabilityState"),
        }


def events(world: World, subscriptions: set[str]) -> Iterator[Json]:
    """Service Health events, with the columns of that query."""
    for row in resource_graph_rows.service_health(world, subscriptions):
        properties = row["properties"]
        yield row | {
            "trackingId": row["name"],
            "level": properties["EventLevel"],
            "start": properties["ImpactStartTime"],
            "updated": properties["LastUpdateTime"],
            "mitigated": properties.get("ImpactMitigationTime"),
            "impact": properties["Impact"],
            "tags": properties["EventTags"],
            "title": properties["Title"],
            "summary": properties["Summary"],
            "status": properties["Status"],
            "eventType": properties["EventType"],
        }


def impacted(world: World, subscriptions: set[str]) -> Iterator[Json]:
    for row in resource_graph_rows.impacted(world, subscriptions):
        properties = row["properties"]
        flat = {
            "properties_targetResourceId": properties["targetResourceId"],
            "properties_targetRegion": properties["targetRegion"],
        }
        yield (
            row
            | {"targetResourceId": properties["targetResourceId"], "targetRegion": properties["targetRegion"]}
            | flat
        )


def recovery(world: World, subscriptions: set[str]) -> Iterator[Json]:
    """Site Recovery's items, with their links as columns."""
    for row in resource_graph_rows.recovery(world, subscriptions):
        details = row["properties"]["providerSpecificDetails"]
        yield row | {
            "source": details["fabricObjectId"],
            "recovered": details["recoveryFabricObjectId"] or "",
            "tested": details["testFailoverRecoveryFabricObjectId"] or "",
            "lifecycleId": details["lifecycleId"],
        }


HEALTH = "microsoft.resourcehealth"
TABLES: dict[tuple[str, str], Rows] = {
    ("resources", "microsoft.compute/virtualmachines"): machines,
    ("healthresources", f"{HEALTH}/availabilitystatuses"): health,
    ("healthresources", f"{HEALTH}/resourceannotations"): health,
    ("healthresourcechanges", f"{HEALTH}/resourceannotations"): changes,
    ("healthresourcechanges", f"{HEALTH}/availabilitystatuses"): changes,
    ("servicehealthresources", f"{HEALTH}/events"): events,
    ("servicehealthresources", f"{HEALTH}/events/impactedresources"): impacted,
    (
        "recoveryservicesresources",
        "microsoft.recoveryservices/vaults/replicationfabrics/replicationprotectioncontainers/replicationprotecteditems",
    ): recovery,
}
"""Table and type -> its rows."""
OWN = (
    *("id", "name", "type", "tenantId", "kind", "location", "resourceGroup", "subscriptionId"),
    *("tags", "zones", "identity", "properties"),
)
"""Columns of the tables themselves: what a query without ``project`` gets."""


def answer_query(world: World, text: str, subscriptions: set[str]) -> list[Json]:
    """The rows of a query that is known; ``InvalidQuery`` for any other."""
    plain = COMMENT.sub(" ", text).strip()
    stages = _stages(plain)
    table = stages[0].strip().lower()
    # what a join asks of another table is part of the rows that are joined already
    types = [
        name.lower() for stage in stages[1:] if not stage.strip().startswith("join") for name in TYPE.findall(stage)
    ]
    rows = TABLES.get((table, types[0])) if types else None
    if rows is None:
        raise _invalid(f"table '{table}' with type '{', '.join(types)}' is none that the simulator knows")
    matching = [row for row in rows(world, subscriptions) if _wanted(row, table, types, plain)]
    columns = _columns(stages)
    if columns is None:
        return [{name: value for name, value in row.items() if name in OWN} for row in matching]
    named, added = columns
    for row in matching[:1]:
        for name in (*named, *added):
            if name not in row:
                raise _invalid(f"the simulator knows no column '{name}' of table '{table}'")
    shown = [*named, *added] if named else [*(name for name in OWN if matching and name in matching[0]), *added]
    if OF_TARGET.search(plain) and "targetId" in (matching[0] if matching else {}):
        matching = [row | {"id": row["targetId"]} for row in matching]
    return [{name: row[name] for name in shown if name in row} for row in matching]


def _wanted(row: Json, table: str, types: list[str], text: str) -> bool:
    kind = row["properties"].get("targetResourceType", "") if table == "healthresourcechanges" else row["type"]
    if kind.lower() not in types:
        return False
    if (
        table == "servicehealthresources"
        and "Status" in row["properties"]
        and re.search(r"Status\s*==\s*'Active'", text)
    ):
        return bool(row["properties"]["Status"] == "Active")
    return not ("isnotempty(annotation)" in text.replace(" ", "") and not row.get("annotation"))


def _stages(text: str) -> list[str]:
    """The pipeline's stages, without cutting inside parentheses or quotes."""
    stages, depth, quoted, start = [], 0, False, 0
    for at, letter in enumerate(text):
        quoted = quoted != (letter == "'")
        depth += (letter in "([") - (letter in ")]") if not quoted else 0
        if letter == "|" and depth == 0 and not quoted:
            stages.append(text[start:at])
            start = at + 1
    return [*stages, text[start:]]


def _columns(stages: list[str]) -> tuple[list[str], list[str]] | None:
    """Names that ``project`` keeps and ``extend`` adds, those of joined tables with them; None without either."""
    named: list[str] = []
    added: list[str] = []
    for stage in stages[1:]:
        verb, _, rest = stage.strip().partition(" ")
        if verb == "project":
            named, added = _names(rest), []
        elif verb == "extend":
            added += _names(rest)
        elif verb == "join":
            inner = _columns(_stages(rest[rest.index("(") + 1 : rest.rindex(")")]))
            joined = [*inner[0], *inner[1]] if inner else []
            taken = sum(1 for name in (*named, *added) if name.rstrip("0123456789") == "id")
            added += [f"id{taken}" if name == "id" else name for name in joined]
        elif verb not in ("where", "order", "sort"):
            raise _invalid(f"the simulator knows no '{verb}'")
    return (named, added) if named or added else None


def _names(text: str) -> list[str]:
    """Left-hand names of a list that is cut at commas outside parentheses."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    columns = []
    for part in (*parts, text[start:]):
        match = COLUMN.match(part)
        columns.append(match[1] if match else part.strip().replace(".", "_"))
    return columns


def _invalid(text: str) -> ArmError:
    return ArmError(400, "BadRequest", f"InvalidQuery: Query is invalid. Please refer to the documentation: {text}.")


# the request


def resources(call: Call) -> Answer:
    """A page of a query's rows: at most 1,000, as objects; ``$skipToken`` where there are more and they have an id."""
    quota = take(call.world, call.principal.object_id)
    body: Json = call.body if isinstance(call.body, dict) else {}
    options: Json = body.get("options") or {}
    if options.get("resultFormat", "objectArray") != "objectArray":
        raise ArmError(400, "BadRequest", "The simulator answers in the format 'objectArray' only.", quota)
    start, moment = _token(options.get("$skipToken") or "")
    with call.world.at(moment or call.world.now()):
        rows = answer_query(call.world, str(body.get("query", "")), _readable(call, body))
        began = precise(call.world.now())
    start = start or int(options.get("$skip") or 0)
    end = start + min(PAGE, int(options.get("$top") or PAGE))
    shown = rows[start:end]
    answer: Json = {"totalRecords": len(rows), "count": len(shown), "data": shown, "facets": []}
    answer["resultTruncated"] = "true" if end < len(rows) else "false"
    if end < len(rows) and "id" in rows[0]:
        answer["$skipToken"] = base64.urlsafe_b64encode(json.dumps([end, began]).encode()).decode()
    return Answer(body=answer, headers=quota)


def _token(text: str) -> tuple[int, datetime | None]:
    """Where the next page begins, and the moment of the first."""
    if not text:
        return 0, None
    try:
        start, began = json.loads(base64.urlsafe_b64decode(text))
        return int(start), datetime.fromisoformat(began)
    except ValueError as error:
        raise ArmError(400, "BadRequest", "The $skipToken is invalid.") from error


def _readable(call: Call, body: Json) -> set[str]:
    """The subscriptions asked for (default: all) in which the caller may read. Others are left out without a word."""
    world = call.world
    given: list[Any] = body.get("subscriptions") or list(world.subscriptions)
    may = {
        str(subscription).lower()
        for subscription in given
        if str(subscription).lower() in world.subscriptions
        and allowed(world, call.principal, "Microsoft.Compute/virtualMachines/read", f"/subscriptions/{subscription}")
    }
    if not may:
        text = "There must be at least one subscription that is eligible to contain resources."
        raise ArmError(400, "NoValidSubscriptionsInQueryRequest", f"{text} Given: '{', '.join(map(str, given))}'.")
    return may


ROUTES = [Route("POST", "/providers/Microsoft.ResourceGraph/resources", resources, kind="read")]
