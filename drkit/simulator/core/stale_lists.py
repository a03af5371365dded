"""Resource Manager's lists, which are answered from a cache: what was made a moment ago is missing, what was deleted is there still.

A resource asked for by its own id is answered by its provider, and is never behind.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from drkit.simulator.core.state import Json
from drkit.simulator.core.wire import Answer


@dataclass
class Cache:
    """When what was made and deleted, by lower-cased id, and what each list last showed."""

    made: dict[str, datetime] = field(default_factory=dict)
    gone: dict[str, datetime] = field(default_factory=dict)
    shown: dict[str, dict[str, Json]] = field(default_factory=dict)

    def note(self, now: datetime, method: str, path: str, answer: Answer) -> None:
        """Remember what a request that was carried out did to the resource of its path."""
        key = path.lower()
        if method == "PUT" and answer.status in (200, 201, 202) and key not in self.made:
            self.made[key] = now
            self.gone.pop(key, None)
        elif method == "DELETE" and answer.status in (200, 202):
            self.gone[key] = now
            self.made.pop(key, None)

    def listed(self, now: datetime, path: str, answer: Answer, behind: float) -> Answer:
        """The list's answer as it was ``behind`` simulated seconds ago; any other answer as it is."""
        body = answer.body
        if not isinstance(body, dict) or not isinstance(body.get("value"), list):
            return answer
        items = {str(item.get("id", "")).lower(): item for item in body["value"] if isinstance(item, dict)}
        seen = self.shown.setdefault(path.lower(), {})
        then = now - timedelta(seconds=behind)
        late = {key for key in items if key in self.made and self.made[key] > then} if behind else set()
        still = [item for key, item in seen.items() if key not in items and key in self.gone and self.gone[key] > then]
        seen.update(items)
        if not behind or not (late or still):
            return answer
        shown = [item for item in body["value"] if str(item.get("id", "")).lower() not in late]
        return replace(answer, body={**body, "value": [*shown, *still]})
