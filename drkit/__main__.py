"""``python -m drkit``."""

from drkit.cli.main import main

main()
