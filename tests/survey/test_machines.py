"""The channel of a machine, by the entries of settings and by its kind."""

from __future__ import annotations

import pytest

from drkit.model.settings import ChannelSettings, HostSettings, Settings
from drkit.survey.machines import HostChannels
from tests.support.builders import a_vm

VM = a_vm("vm-a").id


@pytest.mark.parametrize(
    ("entries", "channel"),
    [
        ((), "run-command"),
        ((HostSettings(id=VM.upper() + "/", channel="manual"),), "manual"),
        ((HostSettings(id="VM-A", channel="manual"),), "manual"),
        ((HostSettings(id="VM-A", channel="ssh"), HostSettings(id=VM, channel="manual")), "ssh"),
        ((HostSettings(id=VM, channel="manual"), HostSettings(id="VM-A", channel="ssh")), "manual"),
        ((HostSettings(id=VM), HostSettings(id="vm-b", channel="manual")), "run-command"),
    ],
)
def test_the_first_entry_for_the_id_or_the_name_gives_the_channel(
    entries: tuple[HostSettings, ...], channel: str
) -> None:
    settings = Settings(channels=ChannelSettings(azure_vm="run-command"), hosts=list(entries))
    assert HostChannels(settings).of(VM, "azure-vm", "vm-a") == channel


def test_an_arc_machine_has_no_run_command() -> None:
    settings = Settings(channels=ChannelSettings(azure_vm="run-command", arc="run-command"))
    assert HostChannels(settings).of("/subscriptions/s/arc", "arc", "arc") == "manual"
    assert HostChannels(Settings()).of("/subscriptions/s/arc", "arc", "arc") == ""
