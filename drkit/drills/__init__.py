"""Loses a region of the simulated Azure, recovers from it, and fails back."""
