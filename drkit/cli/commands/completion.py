"""``drkit completion``: what a shell runs to complete drkit's commands."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command, say


@command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(common: Common, shell: str) -> int:
    """Print the shell code that completes drkit's commands, options and values.

    In ~/.bashrc or ~/.zshrc: eval "$(drkit completion bash)". For fish: drkit completion fish | source.
    """
    from click.shell_completion import get_completion_class

    from drkit.cli.group import main_group

    completer = get_completion_class(shell)
    text = completer(main_group, {}, "drkit", "_DRKIT_COMPLETE").source() if completer else ""
    if common.json:
        common.tell({"shell": shell, "text": text}, list)
    else:
        say(text)
    return 0
