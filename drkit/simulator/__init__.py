"""Azure on loopback: Resource Manager, tokens, and the services behind region-bound registrations, as models."""

from __future__ import annotations

from drkit.simulator.core.seed import check as check_seed
from drkit.simulator.core.server import Simulator
from drkit.simulator.samples.estate import sample_seed

__all__ = ["Simulator", "check_seed", "sample_seed"]
