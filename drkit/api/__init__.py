"""One module for each command: what ``import drkit`` gives."""
