"""The library: a module for each command. ``import drkit`` offers its public names."""
