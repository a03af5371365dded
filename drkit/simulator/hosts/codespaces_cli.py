"""The ``codespaces`` command line on a host: ``start``, which waits for a person, and ``stop``.

https://github.com/MicrosoftDocs/vscodespaces (vsonline-cli) names only these two. Its messages are those of the issues
filed there.
"""

from __future__ import annotations

from drkit.simulator.hosts.machine import Refusal, Registration, SimulatedHost, Surroundings, expand
from drkit.simulator.hosts.people import CODE_LIFE, FIRST_CODE, Job

ALREADY = "An environment is already registered on this machine with ID: {}"
REGISTERING = 5.0  # seconds between a sign-in and the end of "Creating your Codespace..."


def appoint(host: SimulatedHost, around: Surroundings, job: Job) -> None:
    """A code reached the person: they will type it in their own time, if they do."""
    after, code = around.person(job.person).signs_in_after, max(job.read, default=0)
    if after is not None and job.waiting and code > job.appointed:
        job.appointed = code
        around.later(after, lambda: sign_in(host, around, job))


def sign_in(host: SimulatedHost, around: Surroundings, job: Job) -> None:
    """The person types the code, if they still mean to and it still counts."""
    person = around.person(job.person)
    if host.running and None not in (person.signs_in_after, person.ready_after) and job.sign_in(around.now()):
        finish(host, around, job, around.now())


def show(host: SimulatedHost, around: Surroundings, job: Job) -> None:
    """A new code comes up before the eyes of a person who typed the command themselves."""
    job.look(around.now())
    appoint(host, around, job)
    if job.waiting:
        around.later(CODE_LIFE, lambda: show(host, around, job))


def finish(host: SimulatedHost, around: Surroundings, job: Job, at: float) -> None:
    """What ``codespaces start`` does after the sign-in."""
    held = host.registration()
    if held:
        job.already = held.id
        job.fail(ALREADY.format(held.id), at)
        return
    try:
        job.environment = around.register(host, job)
    except Refusal as refusal:
        job.fail(str(refusal), at + REGISTERING)
        return
    path = expand(around.registration_path, host.accounts[job.user].home)
    host.registrations.append(Registration(job.environment, job.user, path, service=job.service))
    host.agent = True
    host.history.append((at, f"registered {job.environment}"))
    if job.service:
        job.ended, job.rc = at + REGISTERING, 0


def start(host: SimulatedHost, around: Surroundings, job: Job) -> None:
    """``codespaces start``, in the background, its output to a file."""
    held = host.registration()
    if held:
        job.already = held.id
        job.fail(ALREADY.format(held.id), job.started)
    elif job.typed:
        around.later(FIRST_CODE, lambda: show(host, around, job))


def stop(host: SimulatedHost, around: Surroundings, patience: float) -> tuple[str, int | None, float]:
    """``codespaces stop``: released, failed or hung; its exit status (None: it was ended); the seconds it took."""
    held = host.registration()
    if held is None:
        return "failed", 1, 1.0
    if not around.unregister(held.id):
        manner = host.behaviour.get("stop_while_lost", "hang")
        if manner == "hang":
            return "hung", None, patience
        if manner == "fail":
            return "failed", 1, min(10.0, patience)
    forget(host, held)
    host.history.append((around.now(), f"unregistered {held.id}"))
    for job in host.jobs():
        if job.environment == held.id and job.ended is None:
            job.ended, job.rc = around.now(), 0
    return "released", 0, 4.0


def forget(host: SimulatedHost, held: Registration) -> None:
    """The registration is gone from the disk, and with it the agent that lived by it."""
    host.registrations.remove(held)
    host.agent = False
