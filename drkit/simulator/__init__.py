"""Azure on loopback: Resource Manager, tokens, and the services behind region-bound registrations, as models."""

from __future__ import annotations

from drkit.simulator.sample import sample_seed
from drkit.simulator.seed import check as check_seed
from drkit.simulator.server import Simulator

__all__ = ["Simulator", "check_seed", "sample_seed"]
