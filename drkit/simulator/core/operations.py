"""Long-running operations, in both styles: ``Azure-AsyncOperation`` and ``Location``.

https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations
"""

from __future__ import annotations

from collections.abc import Callable

from drkit.simulator.core.routing import Call, Route
from drkit.simulator.core.state import AsyncOperation, World, region_lost
from drkit.simulator.core.wire import RETRY_AFTER, Answer, ArmError, operation_body, with_query

BUSY = 60.0  # seconds after which an operation held up by a lost region is looked at again


def begin(
    call: Call,
    seconds: float,
    subject: str,
    region: str,
    finish: Callable[[AsyncOperation], None] | None = None,
    ready: Callable[[], bool] | None = None,
    limit: float | None = None,
) -> AsyncOperation:
    """Start an operation that ends after ``seconds``; ``finish`` does the work and sets ``result``, or raises.

    It does not end while its region is lost, nor before ``ready``. A fault may make it fail (the work not done) or never end;
    after ``limit`` seconds it fails with OperationTimedOut all the same.
    """
    world = call.world
    operation = AsyncOperation(
        world.new_id(),
        call.path["subscription"],
        region,
        call.action,
        subject.lower(),
        world.now(),
        signature=world.new_id(),
    )
    world.operations[operation.id] = operation
    call.note["operation"] = operation.id
    fault = call.fault
    operation.never = fault.get("lro") == "never"

    def end() -> None:
        if limit and (world.now() - operation.started).total_seconds() >= limit and operation.never:
            operation.ended, operation.status = world.now(), "Failed"
            operation.error = {
                "code": "OperationTimedOut",
                "message": f"It did not end within {limit / 60:.0f} minutes.",
            }
            return
        if region_lost(world, region) or operation.never or (ready and not ready()):
            world.later(BUSY, end)
            return
        operation.ended = world.now()
        try:
            if fault.get("lro") == "fail":
                code = fault.get("code", "InternalExecutionError")
                raise ArmError(500, code, fault.get("message", "An internal error occurred."))
            if finish:
                finish(operation)
            operation.status = "Succeeded"
        except ArmError as error:
            operation.status = "Failed"
            operation.error = {"code": error.code, "message": error.message}

    world.later(seconds, end)
    return operation


def busy(world: World, subject: str, kind: str) -> bool:
    """Whether an operation of that kind is under way on that id."""
    return any(
        operation.status == "InProgress" and operation.subject == subject.lower() and operation.kind == kind
        for operation in world.operations.values()
    )


def headers(call: Call, operation: AsyncOperation, namespace: str, styles: str) -> dict[str, str]:
    """The headers of the answer that accepts it. ``styles``: ``async``, ``location`` or both in one text.

    Without a namespace the operation is Resource Manager's own.
    """
    root = f"{call.base}/subscriptions/{operation.subscription}"
    at = f"{root}/providers/{namespace}/locations/{operation.region}"
    results = f"{at}/operationResults" if namespace else f"{root}/operationresults"
    query = {"api-version": call.query.get("api-version", ""), "t": operation.id, "s": operation.signature}
    fields = {"Retry-After": str(RETRY_AFTER)}
    if "async" in styles:
        fields["Azure-AsyncOperation"] = with_query(f"{at}/operations/{operation.id}", query)
    if "location" in styles:
        fields["Location"] = with_query(f"{results}/{operation.id}", query)
    return fields


def _find(call: Call) -> AsyncOperation:
    operation = call.world.operations.get(call.path["operation"])
    if operation is None or call.query.get("s") != operation.signature:
        raise ArmError(404, "NotFound", f"The operation '{call.path['operation']}' could not be found.")
    return operation


def status(call: Call) -> Answer:
    """The ``Azure-AsyncOperation`` URL: always 200, the status in the body."""
    operation = _find(call)
    waiting = operation.status == "InProgress"
    return Answer(body=operation_body(operation), headers={"Retry-After": str(RETRY_AFTER)} if waiting else {})


def result(call: Call) -> Answer:
    """The ``Location`` URL: 202 while it runs, then the result itself."""
    operation = _find(call)
    if operation.status == "InProgress":
        return Answer(202, headers={"Location": with_query(call.link, call.query), "Retry-After": str(RETRY_AFTER)})
    if operation.error:
        return Answer(409, {"error": operation.error})
    return Answer(200, operation.result)


AT = "/subscriptions/{subscription}/providers/{namespace}/locations/{location}"
ROUTES = [
    Route("GET", f"{AT}/operations/{{operation}}", status),
    Route("GET", f"{AT}/operationResults/{{operation}}", result),
    Route("GET", "/subscriptions/{subscription}/operationresults/{operation}", result),
]
