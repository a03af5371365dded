"""How long a test waits for what must come. Only something that hangs takes so long, however busy the machine is."""

from __future__ import annotations

PATIENCE = 300.0
