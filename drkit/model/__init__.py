"""The values that everything else speaks of: the estate, files and their structs, settings, ids, clocks. Pure."""
