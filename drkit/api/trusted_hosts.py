"""Which hosts may get a credential, or decide where one goes, besides those of the known clouds.

Anybody may have written a file that is found in the current folder: it may name hosts of the known clouds only. Any other host
counts when the person named the file or the address (by an option or an environment variable), or listed the host in
``~/.config/drkit/trusted.toml``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from drkit.errors import RefusedError
from drkit.model import files, toml_faults
from drkit.model.toml_faults import TomlFault

TrustedHost = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$",
        extra={"allowed": "a host name, or host:port, without https:// and path"},
    ),
]
TrustedFolder = Annotated[
    str, Meta(pattern=r"^(/|~/|[A-Za-z]:[/\\])", extra={"allowed": 'a whole path: it begins with "/" or "~/"'})
]


class TrustFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What trusted.toml may hold."""

    hosts: list[TrustedHost] = []
    folders: list[TrustedFolder] = []


class Trust(msgspec.Struct, frozen=True):
    """``hosts`` (in lower case, with the port unless it is 443) may get credentials; settings in ``folders`` count as named.

    ``path``: the file that lists both.
    """

    path: Path
    hosts: frozenset[str] = frozenset()
    folders: frozenset[Path] = frozenset()

    def holds(self, folder: Path) -> bool:
        """Whether the settings in a folder count as if the person had named them."""
        return folder.absolute() in self.folders or folder.resolve() in self.folders


def place(environ: Mapping[str, str] | None = None) -> Path:
    """The path of the person's list: ``$XDG_CONFIG_HOME/drkit/trusted.toml``, by default below ``~/.config``.

    Never below the current folder: where no home folder is known, the path leads to no file.
    """
    env = os.environ if environ is None else environ
    base = Path(env.get("XDG_CONFIG_HOME") or "")
    if not base.is_absolute():
        try:
            base = Path("~/.config").expanduser()
        except RuntimeError:
            base = Path()
    return (base if base.is_absolute() else Path(os.devnull)) / "drkit" / "trusted.toml"


def load(path: Path) -> Trust:
    """The person's list; an empty one where there is no file.

    FileError for a file that cannot be used, belongs to another user, or can be written by others.
    """
    if not os.path.lexists(path):
        return Trust(path)
    text = toml_faults.decode(files.read(path, own=True), str(path))
    table = toml_faults.parse(text, str(path))
    faults: list[TomlFault] = toml_faults.check(table, TrustFile)
    if faults:
        toml_faults.refuse(faults, text, str(path), 'docs/configuration.md, "What a found file may say"')
    listed = msgspec.convert(table, TrustFile)
    return Trust(
        path,
        frozenset(host.lower().removesuffix(":443") for host in listed.hosts),
        frozenset(Path(folder).expanduser() for folder in listed.folders),
    )


def refuse(where: str, strange: Iterable[tuple[str, str]], trust: Trust) -> None:
    """RefusedError when a found file names what it may not. ``strange``: each key with the host or file that it names."""
    named = list(strange)
    if not named:
        return
    folder = Path(where).absolute().parent
    hosts = sorted({value for _, value in named if "/" not in value and "\\" not in value})
    said = ", ".join(f"{key} names {value}" for key, value in named)
    by_host = f"hosts = {msgspec.json.encode(hosts).decode()}" if len(hosts) == len(named) else ""
    by_folder = f"folders = {msgspec.json.encode([str(folder)]).decode()}"
    raise RefusedError(
        f"is in the current folder and decides where credentials go: {said}; nothing was sent",
        where=where,
        remedy=f"if you trust this file, name it: --config {where}; or write {by_host + ' or ' if by_host else ''}{by_folder} "
        f"in {trust.path}",
    )
