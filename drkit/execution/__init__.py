"""The only writer: which step next (pure), look, act, record."""
