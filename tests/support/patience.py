"""How many seconds a test waits for something that must happen. Only a hang takes that long, even on a busy machine."""

from __future__ import annotations

PATIENCE = 300.0
