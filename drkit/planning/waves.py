"""The waves in which environments are moved: one first, as a canary, then as many at once as the settings say. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from drkit.model.settings import Settings
from drkit.planning.proposal import Chain


def waves(chains: Sequence[Chain], settings: Settings) -> list[Chain]:
    """One first, then more: the first chain that needs no person goes alone, the rest in waves behind it."""
    first = next((chain for chain in chains if chain.steps and not chain.needs_person), None)
    sizes = list(settings.run.waves) or [1]
    waved: list[Chain] = []
    number, room = 2, sizes[1] if len(sizes) > 1 else sizes[-1]
    order = ([first] if first else []) + [chain for chain in chains if chain is not first]
    for chain in order:
        if chain is first or not chain.steps:
            waved.append(replace(chain, steps=tuple(msgspec.structs.replace(step, wave=1) for step in chain.steps)))
            continue
        if room == 0:
            number += 1
            room = sizes[min(number - 1, len(sizes) - 1)]
        room -= 1
        steps = [msgspec.structs.replace(step, wave=number) for step in chain.steps]
        if first is not None:
            steps[0] = msgspec.structs.replace(steps[0], needs=(*steps[0].needs, first.affected.proof_step))
        waved.append(replace(chain, steps=tuple(steps)))
    return waved
