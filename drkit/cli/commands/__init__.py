"""The commands, by when they are used."""
