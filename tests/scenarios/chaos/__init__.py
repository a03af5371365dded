"""Runs that are killed and stormed at, judged by the simulator's own record: ``scripts/chaos``, and its short version in tests."""
