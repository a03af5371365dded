"""Whose word decides where credentials go: an option's, an environment variable's, the person's own list's; no found file's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drkit.api import trusted_hosts
from drkit.api.context import desk, store_address
from drkit.errors import CredentialError, FileError, RefusedError, UsageError
from drkit.model import cloud as clouds
from tests.support import credential_trap as catcher
from tests.support.command_line import Done, Here
from tests.support.credential_trap import Catcher

PUBLIC_TABLE = '[cloud]\ncredential = "azure-cli"\n'


@pytest.fixture
def caught(tmp_path: Path) -> Iterator[Catcher]:
    with catcher.catching(tmp_path / "catcher") as found:
        yield found


@pytest.fixture
def here(caught: Catcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """A folder of somebody else's making. Whatever certificate the catcher shows is good; ``az`` is signed in."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(caught.ca))
    monkeypatch.setenv("PATH", f"{catcher.az(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}")
    folder = tmp_path / "found"
    folder.mkdir()
    return Here(folder, monkeypatch, capsys)


def trusts(here: Here, **lists: list[str]) -> Path:
    """The person's own list."""
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "drkit" / "trusted.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(f"{name} = {values!r}" for name, values in lists.items()))
    return path


def found_files(caught: Catcher) -> dict[str, str]:
    """By what each tries: a drkit.toml that leads credentials away."""
    arm = f'arm = "{caught.url}"\nca_bundle = "ca.pem"\ncredential = "azure-cli"\n'
    return {
        "store": f'store = "{caught.url}"\n{PUBLIC_TABLE}',
        "store of another spelling": f'store = "HTTPS://LOCALHOST:{caught.port}/"\n{PUBLIC_TABLE}',
        "store of the emulator": f'store = "https://127.0.0.1:{caught.port}"\n{PUBLIC_TABLE}',
        "arm": f'[cloud]\narm = "{caught.url}"\ncredential = "azure-cli"\n',
        "arm and scope": f'[cloud]\n{arm}scope = "https://management.azure.com/.default"\n',
        "authority": f'[cloud]\nauthority = "{caught.url}"\nca_bundle = "ca.pem"\n',
        "authority, in the environment's way": f'[cloud]\nauthority = "{caught.url}"\ncredential = "environment"\n',
        "certificates": '[cloud]\nca_bundle = "ca.pem"\n',
        "a product's service": f'[products.codespaces]\nservice = "localhost"\n{PUBLIC_TABLE}',
        "another status page": f'[assess]\ndevops_status = "{caught.url}"\n{PUBLIC_TABLE}',
    }


COMMANDS: tuple[tuple[str, ...], ...] = ((), ("status",), ("verify", "run-0001"), ("snapshot",), ("assess",))


@pytest.mark.parametrize("what", list(found_files(Catcher(1, Path()))))
def test_a_found_file_leads_no_credential_away(
    here: Here, caught: Catcher, what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here.put("ca.pem", caught.ca.read_text())
    here.put("drkit.toml", found_files(caught)[what])
    for name, value in {
        "AZURE_TENANT_ID": "11111111-1111-1111-1111-111111111111", "AZURE_CLIENT_ID": "me",
        "AZURE_CLIENT_SECRET": "REAL-CLIENT-SECRET", "AZURE_STORAGE_KEY": "UkVBTC1LRVk=",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for words in COMMANDS:
        done = here(*words)
        assert (caught.credentials, caught.caught) == ([], []), words
        assert done.code == 4, (words, done.err)
        said = " ".join(done.err.split())
        assert "drkit.toml" in said
        assert "--config drkit.toml" in said
        assert "trusted.toml" in said
    assert catcher.asked(tmp_path / "bin") == []


def refused_words(done: Done) -> str:
    assert done.code == 4, done.err
    return " ".join(done.err.split())


def test_what_to_type_is_what_helps(here: Here, caught: Catcher) -> None:
    """The refusal names the host, the option, and the very lines of the person's own list."""
    here.put("drkit.toml", f'store = "{caught.url}"\n{PUBLIC_TABLE}')
    said = refused_words(here("status"))
    assert f'hosts = ["{caught.host}"]' in said
    assert f'folders = ["{here.folder}"]' in said
    for lists in ({"hosts": [caught.host]}, {"folders": [str(here.folder)]}):
        path = trusts(here, **lists)
        here("status")
        assert caught.credentials == [f"authorization: Bearer {catcher.TOKEN}https://storage.azure.com"]
        caught.caught.clear()
        path.unlink()
        assert here("status").code == 4
    here("status", "--config", "drkit.toml")
    assert len(caught.credentials) == 1


def test_certificates_are_named_whole_and_never_as_a_host(here: Here) -> None:
    """A relative name in the person's own list would count in every folder."""
    here.put("drkit.toml", '[cloud]\nca_bundle = "ca.pem"\n')
    said = refused_words(here("snapshot"))
    assert f"cloud.ca_bundle names {here.folder / 'ca.pem'}" in said
    assert "hosts = " not in said
    assert f'folders = ["{here.folder}"]' in said


def test_the_person_may_name_a_store_by_option_and_in_the_environment(
    here: Here, caught: Catcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.put("drkit.toml", PUBLIC_TABLE)
    here("status", "--store", caught.url)
    monkeypatch.setenv("DRKIT_STORE", caught.url)
    here("status")
    assert caught.credentials == [f"authorization: Bearer {catcher.TOKEN}https://storage.azure.com"] * 2


def test_the_stores_token_is_for_storage_whatever_a_challenge_asks(here: Here, caught: Catcher, tmp_path: Path) -> None:
    here.put("drkit.toml", PUBLIC_TABLE)
    done = here("status", "--store", caught.url)
    assert done.code == 1
    assert "management.azure.com" in done.err
    assert {one.headers.get("authorization") for one in caught.caught} == {
        f"Bearer {catcher.TOKEN}https://storage.azure.com"
    }
    assert all(
        "https://storage.azure.com" in line and "--tenant" not in line for line in catcher.asked(tmp_path / "bin")
    )


def test_the_first_line_on_stderr_names_the_account(here: Here, caught: Catcher) -> None:
    here.put("drkit.toml", PUBLIC_TABLE)
    for words in (("status",), ("verify", "run-0001"), ("show",), ("snapshot",), ("report",)):
        assert here(*words, "--store", caught.url).err.splitlines()[0] == f"store: {caught.url}, from --store", words
    trusts(here, hosts=[caught.host])
    here.put("drkit.toml", f'store = "{caught.url}"\n{PUBLIC_TABLE}')
    assert here().err.splitlines()[0] == f"store: {caught.url}, from drkit.toml"
    assert here("status").err.splitlines()[0] == f"store: {caught.url}, from drkit.toml"


@pytest.mark.parametrize("name", ["drkit.toml", "trusted.toml", "ready.json"])
@pytest.mark.parametrize("how", ["another's", "written by all", "a FIFO"])
def test_a_file_that_decides_credentials_must_belong_to_the_user(
    here: Here, caught: Catcher, name: str, how: str
) -> None:
    if os.geteuid() != 0 and how == "another's":
        pytest.skip("only root can give a file away")
    words: tuple[str, ...] = ("status",)
    path = here.put("drkit.toml", f'store = "{caught.url}"\n{PUBLIC_TABLE}')
    if name == "trusted.toml":
        path = trusts(here, hosts=[caught.host])
    elif name == "ready.json":
        path.write_text("")
        path, words = here.put("ready.json", "{}"), ("snapshot", "--cloud", "ready.json")
    if how == "another's":
        os.chown(path, 4001, 4001)
    elif how == "written by all":
        path.chmod(0o666)
    else:
        path.unlink()
        os.mkfifo(path)
    done = here(*words)
    assert done.code == 64, done.err
    assert path.name in done.err
    assert {"another's": "belongs to", "written by all": "may be written by", "a FIFO": "FIFO"}[how] in done.err
    assert caught.caught == []


def test_a_list_with_faults_is_refused_and_none_is_needed_where_nothing_is_strange(here: Here, caught: Catcher) -> None:
    path = trusts(here, hosts=["https://localhost/"], folders=["here"])
    here.put("drkit.toml", f'store = "{caught.url}"\n')
    done = here("status")
    assert (done.code, "2 faults" in done.err, str(path) in done.err) == (64, True, True), done.err
    here.put("drkit.toml", "")
    assert here("status").code == 0


def test_where_the_list_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert trusted_hosts.place({}) == tmp_path / ".config" / "drkit" / "trusted.toml"
    assert trusted_hosts.place({"XDG_CONFIG_HOME": "relative"}) == trusted_hosts.place({})
    assert trusted_hosts.place({"XDG_CONFIG_HOME": "/etc/mine"}) == Path("/etc/mine/drkit/trusted.toml")


def test_no_list_is_looked_for_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".config" / "drkit").mkdir(parents=True)
    (tmp_path / ".config" / "drkit" / "trusted.toml").write_text('hosts = ["evil.example"]')

    def homeless(_self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("HOME", ".")
    assert trusted_hosts.load(trusted_hosts.place({})).hosts == frozenset()
    monkeypatch.setattr(Path, "expanduser", homeless)
    assert trusted_hosts.load(trusted_hosts.place({})).hosts == frozenset()


# hosts of the named clouds


@pytest.mark.parametrize(
    ("cloud", "store"),
    [
        ("AzureCloud", "https://contoso1.blob.core.windows.net"),
        ("AzureCloud", "https://contoso1-secondary.blob.core.windows.net/"),
        ("AzureCloud", "https://contoso1.z12.blob.storage.azure.net"),
        ("AzureUSGovernment", "https://contoso1.blob.core.usgovcloudapi.net"),
        ("AzureChinaCloud", "https://contoso1.blob.core.chinacloudapi.cn"),
    ],
)
def test_a_found_file_may_name_what_the_named_clouds_have(here: Here, cloud: str, store: str) -> None:
    here.put("drkit.toml", f'store = "{store}"\n[cloud]\nname = "{cloud}"\n')
    here._patch.chdir(here.folder)
    found = desk()
    assert found.cloud.arm == clouds.NAMED[cloud]["arm"]
    assert clouds.named_store(store) == cloud
    other = "AzureCloud" if cloud != "AzureCloud" else "AzureUSGovernment"
    here.put("drkit.toml", f'store = "{store}"\n[cloud]\nname = "{other}"\n')
    with pytest.raises(RefusedError, match="decides where credentials go"):
        desk()


@pytest.mark.parametrize(
    "url",
    [
        "https://management.azure.com.evil.example", "https://evilmanagement.azure.com", "https://management.azure.com:8443",
        "http://management.azure.com", "https://me@management.azure.com", "https://management.azure.com@evil.example",
        "https://evil.example/management.azure.com", "https://evil.example#.management.azure.com", "https://[::1", "",
        "management.azure.com",
    ],
)  # fmt: skip
def test_a_host_name_that_only_resembles_arm_is_not_recognized(url: str) -> None:
    assert clouds.named_arm(url) == ""


@pytest.mark.parametrize(
    "url",
    [
        "https://x.blob.core.windows.net.evil.example", "https://evilblob.core.windows.net", "https://a.b.blob.core.windows.net",
        "https://.blob.core.windows.net", "https://blob.core.windows.net", "https://contoso1.blob.core.windows.net:8443",
        "https://contoso1.blob.storage.azure.net", "https://contoso1.queue.core.windows.net",
    ],
)  # fmt: skip
def test_a_host_name_that_only_resembles_an_account_is_not_recognized(url: str) -> None:
    assert clouds.named_store(url) == ""


SCOPES: list[tuple[dict[str, Any], bool]] = [
    ({"scope": "https://management.azure.com/.default"}, True),
    ({"scope": "https://management.core.windows.net//.default"}, True),
    ({"scope": "https://vault.azure.net/.default"}, False),
    ({"scope": "https://storage.azure.com/.default"}, False),
    ({"name": "AzureUSGovernment", "scope": "https://management.core.usgovcloudapi.net/.default"}, True),
    ({"arm": "https://management.usgovcloudapi.net", "authority": "https://login.microsoftonline.us"}, True),
    ({"arm": "https://arm.example", "scope": "https://management.azure.com/.default"}, False),
    ({"arm": "https://arm.example", "scope": "https://arm.example/.default"}, True),
    ({"arm": "https://management.local.azurestack.external", "scope": "https://management.contoso.onmicrosoft.com/1"}, True),
    ({"arm": "https://management.local.azurestack.external", "scope": "https://management.adfs.local.azurestack.external/1"}, True),
    ({"arm": "https://arm.example", "scope": "https://other.example/.default"}, False),
    ({"arm": "https://arm.example", "scope": "anything"}, False),
]  # fmt: skip


@pytest.mark.parametrize(("table", "fits"), SCOPES)
def test_a_scope_is_one_that_its_arm_takes(table: dict[str, Any], fits: bool) -> None:
    if fits:
        assert clouds.from_table(table).token_scope
        return
    with pytest.raises(UsageError, match="not meant for"):
        clouds.from_table(table)


def test_the_scope_follows_from_the_cloud_not_from_how_it_was_named() -> None:
    gov = clouds.from_table(
        {"arm": "https://management.usgovcloudapi.net", "authority": "https://login.microsoftonline.us"}
    )
    assert gov.token_scope == clouds.from_table({"name": "AzureUSGovernment"}).token_scope
    region = clouds.from_table({"arm": "https://westeurope.management.azure.com"})
    assert region.token_scope == "https://management.azure.com/.default"


def test_arm_and_authority_are_of_one_cloud() -> None:
    with pytest.raises(UsageError, match="authority public Azure's") as refused:
        clouds.from_table({"arm": "https://management.usgovcloudapi.net"})
    assert 'name = "AzureUSGovernment"' in refused.value.remedy


# spellings of a store


@pytest.mark.parametrize(
    "text",
    [
        "HTTPS://contoso1.blob.core.windows.net", " https://contoso1.blob.core.windows.net ", "Https://CONTOSO1.blob.core.windows.net:443/",
    ],
)  # fmt: skip
def test_an_address_has_one_spelling(text: str) -> None:
    assert store_address(text) == "https://contoso1.blob.core.windows.net"


@pytest.mark.parametrize(
    "text",
    [
        "http://contoso1.blob.core.windows.net", "https:/contoso1.blob.core.windows.net", "https:\\\\contoso1.blob.core.windows.net", "https://",
        "https://[::1", "ftp://x", "//contoso1.blob.core.windows.net", "contoso1.blob.core.windows.net", "https://me:pw@contoso1.blob.core.windows.net",
        "HTTP://127.0.0.1:10000/x", "blob://x", "https://x:99999",
    ],
)  # fmt: skip
def test_an_address_of_another_spelling_is_no_folder(here: Here, text: str) -> None:
    done = here("status", "--store", text)
    assert done.code == 64, done.err
    assert list(here.folder.iterdir()) == []
    with pytest.raises((UsageError, FileError)):
        store_address(text)


@pytest.mark.parametrize(
    "text", [".drkit", "/srv/store", "C:\\store", "C:/store", "my.blob", "a b", "https", "./https:/x"]
)
def test_a_folder_is_a_folder(text: str) -> None:
    assert store_address(text) == ""


@pytest.mark.parametrize("secret", [{"client_secret": ""}, {"client_id": ""}, {"client_id": "", "client_secret": ""}])
def test_a_simulated_cloud_gets_its_own_identity_or_none(
    here: Here, caught: Catcher, secret: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also where the ready file is the catcher's from end to end, and whatever the settings say of credentials."""
    from tests.support.every_command import prepared

    for name, value in {
        "AZURE_TENANT_ID": "11111111-1111-1111-1111-111111111111", "AZURE_CLIENT_ID": "me", "AZURE_CLIENT_SECRET": "REAL-CLIENT-SECRET",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    url = f"https://127.0.0.1:{caught.port}"
    facts = {
        **prepared().facts,
        "pid": os.getpid(),
        "arm": url,
        "authority": url,
        "control": url,
        "ca_bundle": str(caught.ca),
    }
    here.put("ready.json", {**facts, **secret})
    here.put("drkit.toml", '[cloud]\ncredential = "environment"\n')
    done = here("snapshot", "--cloud", "ready.json")
    assert (done.code, "client_secret" in done.err) == (64, True), done.err
    assert caught.caught == []
    here.put("ready.json", facts)
    assert here("snapshot", "--cloud", "ready.json").code == 1
    assert caught.caught
    assert not [one for one in caught.caught if b"REAL-CLIENT-SECRET" in one.body]
    assert catcher.asked(tmp_path / "bin") == []


def test_a_simulated_cloud_without_a_secret_takes_no_other_credential() -> None:
    from drkit.providers import auth

    cloud = clouds.Cloud(name="s", arm="https://127.0.0.1:1", authority="https://127.0.0.1:1", why="", simulated=True)
    assert auth.credential_name(cloud) == "simulator"
    with pytest.raises(CredentialError, match="brings none"):
        auth.credential(cloud, environ={"AZURE_CLIENT_ID": "x", "AZURE_TENANT_ID": "y", "AZURE_CLIENT_SECRET": "z"})


@pytest.mark.parametrize("authority", sorted({host for one in clouds.HOSTS.values() for host in one.authorities}))
def test_custom_certificates_do_not_switch_discovery_off(authority: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.identity import aio

    from drkit.providers import auth

    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(aio, "EnvironmentCredential", lambda **options: seen.append(options))
    cloud = clouds.Cloud(
        name="c",
        arm="https://arm.example",
        authority=f"https://{authority}",
        why="",
        ca_bundle="/ca.pem",
        credential="environment",
    )
    auth.credential(cloud)
    auth.credential(msgspec.structs.replace(cloud, authority="https://login.example"))
    assert [one["disable_instance_discovery"] for one in seen] == [False, True]


# what is called like a word


def test_a_file_with_the_name_of_a_cloud_is_not_used(here: Here, caught: Catcher) -> None:
    from tests.support.every_command import prepared

    here._patch.chdir(here.folder)
    for called in ("AzureCloud", "public", "usgov"):
        here.put(called, {**prepared().facts, "pid": os.getpid()})
        assert not clouds.resolve(called, None, {}).simulated
        assert not clouds.resolve(None, None, {"DRKIT_CLOUD": called}).simulated
        assert clouds.resolve(f"./{called}", None, {}).simulated


def test_a_file_that_is_called_like_a_runbook_of_the_store_is_not_taken_for_it(here: Here) -> None:
    from drkit.store.store import Store
    from tests.support.every_command import prepare, prepared

    prepare(here.folder)
    here._patch.chdir(here.folder)
    store = Store(here.folder / ".drkit")
    digest = store.runbook("latest")[2].stem
    for called in ("latest", digest, digest[:12], digest[:4]):
        here.put(called, "no runbook at all")
        assert store.runbook(called)[2].stem == digest
    here.put("cafe", store.runbook(digest)[1])
    assert store.runbook("cafe")[2] == Path("cafe")
    assert prepared().folder.is_dir()


@pytest.mark.parametrize("how", ["another's", "written by all"])
def test_whom_to_believe_is_not_for_others_to_write(caught: Catcher, tmp_path: Path, how: str) -> None:
    from drkit.providers.blocking import BlockingTransport
    from drkit.providers.transport import tls_context

    if os.geteuid() != 0 and how == "another's":
        pytest.skip("only root can give a file away")
    path = tmp_path / "ca.pem"
    path.write_bytes(caught.ca.read_bytes())
    tls_context(str(path))
    if how == "another's":
        os.chown(path, 4001, 4001)
    else:
        path.chmod(0o666)
    for use in (tls_context, BlockingTransport):
        with pytest.raises(CredentialError, match="the CA file cannot be used"):
            use(str(path))


@pytest.mark.parametrize("name", ["environment", "workload-identity", "azure-pipelines"])
def test_the_authority_is_the_clouds_whatever_azures_own_variable_says(
    name: Any, caught: Catcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from azure import identity

    from drkit.providers import auth

    for key, value in {
        "AZURE_AUTHORITY_HOST": caught.url, "AZURE_TENANT_ID": "11111111-1111-1111-1111-111111111111", "AZURE_CLIENT_ID": "me",
        "AZURE_CLIENT_SECRET": "REAL-CLIENT-SECRET", "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token"),
        "SYSTEM_OIDCREQUESTURI": "https://localhost/", "SYSTEM_ACCESSTOKEN": "REAL-SYSTEM",
    }.items():  # fmt: skip
        monkeypatch.setenv(key, value)
    seen: list[dict[str, Any]] = []
    for made in ("EnvironmentCredential", "WorkloadIdentityCredential", "AzurePipelinesCredential"):
        monkeypatch.setattr(identity, made, lambda **options: seen.append(options))
    cloud = clouds.from_table({"name": "AzureCloud", "credential": name, "service_connection": "x"})
    auth.credential(cloud, library=identity)
    assert [one["authority"] for one in seen] == [clouds.PUBLIC_AUTHORITY]
