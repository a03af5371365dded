"""What decides: verdicts, plan states, advice, placement, runbooks, readiness. Pure."""
