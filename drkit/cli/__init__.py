"""Parses a command, calls the library, shows the result."""
