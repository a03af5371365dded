"""drkit.toml: what is accepted, and that every fault is reported at once with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkit.errors import FileError
from drkit.model import settings, toml_faults
from drkit.model.settings import HostSettings, Settings, SettingsFile
from drkit.products import tables
from drkit.products.codespaces.settings import CodespacesSettings

PRODUCTS = tables()


def load(path: Path) -> Settings:
    return settings.load(path, PRODUCTS)


def parse(text: str, where: str, products: Mapping[str, type[msgspec.Struct]] = PRODUCTS) -> Settings:
    return settings.parse(text, where, products)


DOCS = Path(__file__).parents[2] / "docs"
VM = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v"
)
ARC = "/subscriptions/s/resourcegroups/g/providers/microsoft.hybridcompute/machines/a"


def faults(text: str) -> list[str]:
    """The fault lines of a refused text, without the file's name."""
    with pytest.raises(FileError) as caught:
        parse(text, "drkit.toml")
    assert caught.value.exit_code == 64
    head, *lines = str(caught.value).splitlines()
    assert re.fullmatch(r"drkit\.toml: \d+ faults?; docs/configuration\.md describes every key", head)
    assert head.startswith(f"drkit.toml: {len(lines)} fault")
    return [line.removeprefix("  drkit.toml:") for line in lines]


def one(text: str) -> str:
    (fault,) = faults(text)
    return fault


# --- what is accepted


def test_an_empty_file_and_no_file_are_the_same_settings() -> None:
    assert msgspec.structs.replace(parse("", "drkit.toml"), path="") == Settings()


@pytest.mark.parametrize("text", ["", "\n", "# only a remark", "\ufeff", "\ufeff# marked", "\r\n\r\n"])
def test_files_that_say_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "drkit.toml"
    file.write_bytes(text.encode())
    assert load(file).digest == Settings().digest
    assert load(file).path == str(file)


def test_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "drkit.toml"
    file.write_bytes(b'\xef\xbb\xbfstore = "x"\r\n[run]\r\nconcurrency = 2\r\n')
    assert (load(file).store, load(file).run.concurrency) == ("x", 2)


def test_names_are_normalised() -> None:
    read = parse(
        'targets = ["West Europe", "EASTUS2"]\nsubscriptions = ["AAAAAAAA-0000-0000-0000-00000000000A"]', "drkit.toml"
    )
    assert read.targets == ["westeurope", "eastus2"]
    assert read.subscriptions == ["aaaaaaaa-0000-0000-0000-00000000000a"]


def test_the_digest_is_over_what_is_said_not_how() -> None:
    first = parse('targets = ["West Europe"]\n[run]\nwaves = [1, 5, 20]\nstep_minutes = 60\n', "a.toml")
    again = parse('run.step_minutes = 60.0 # an hour\ntargets = ["westeurope"]\nproducts.codespaces = {}\n', "b.toml")
    other = parse('targets = ["westeurope"]\n[products.codespaces]\nenvironments_per_plan = 19\n', "a.toml")
    assert first.digest == again.digest
    assert first.digest != other.digest
    assert re.fullmatch("[0-9a-f]{64}", first.digest)


def test_a_products_table_is_read_through_its_struct() -> None:
    read = parse('[products.codespaces]\nkeep_owner = "person"', "drkit.toml")
    assert read.product("codespaces", CodespacesSettings) == CodespacesSettings(keep_owner="person")
    assert Settings().product("codespaces", CodespacesSettings) == CodespacesSettings()


def test_further_products_are_known_by_the_registry_handed_in() -> None:
    class Tunnel(msgspec.Struct, forbid_unknown_fields=True):
        relay: str = ""

    registry: dict[str, type[msgspec.Struct]] = {**PRODUCTS, "tunnel": Tunnel}
    text = '[products.tunnel]\nrelay = "r"\n[[host]]\nid = "h"\nproduct = "tunnel"'
    assert parse(text, "drkit.toml", registry).product("tunnel", Tunnel) == Tunnel(relay="r")
    with pytest.raises(FileError, match=r"drkit\.toml:2: products\.tunnel\.rely: unknown key; did you mean \"relay\"?"):
        parse("[products.tunnel]\nrely = 'r'", "drkit.toml", registry)


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    file = tmp_path / "drkit.toml"
    file.write_text('store = "kept"\n[cloud]\nca_bundle = "~/ca.pem"\ntenant = "t"')
    read = load(file)
    assert read.store_location == str(tmp_path / "kept")
    assert read.cloud_table() == {"ca_bundle": "/home/me/ca.pem", "tenant": "t"}
    assert parse('store = "https://a.blob.example/"', "f").store_location == "https://a.blob.example/"
    assert (Settings().store_location, Settings().cloud_table()) == ("", {})


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        (HostSettings(id=VM), "azure-vm"),
        (HostSettings(id=ARC), "arc"),
        (HostSettings(id="cupboard"), "physical"),
        (HostSettings(id=VM.upper()), "azure-vm"),
    ],
)
def test_the_kind_of_a_host_is_in_its_id(host: HostSettings, kind: str) -> None:
    assert host.host_kind == kind


def test_a_hosts_own_channel_goes_before_that_of_its_kind() -> None:
    read = parse('[channels]\nazure_vm = "run-command"\nphysical = "ssh"', "drkit.toml")
    assert read.channel(HostSettings(id=VM)) == "run-command"
    assert read.channel(HostSettings(id=VM, channel="manual")) == "manual"
    assert read.channel(HostSettings(id="cupboard")) == "ssh"
    assert read.channel(HostSettings(id=ARC)) == ""


# --- what is refused


CASES: list[tuple[str, list[str]]] = [
    ("concurrency = 3", ["1: concurrency: is in the wrong table: it belongs in [run]"]),
    ("concurency = 3", ['1: concurency: unknown key; did you mean "concurrency"? That belongs in [run]']),
    (
        '[cloud]\ntenant = "t"\ntargets = ["eastus"]',
        ["3: cloud.targets: is in the wrong table: it belongs at the top of the file, before the first [table]"],
    ),
    ("[run]\nstep-minutes = 3", ['2: run.step-minutes: unknown key; did you mean "step_minutes"? allowed in [run]: ']),
    ("hosts = []", ['1: hosts: unknown key; did you mean "host"? allowed at the top: ']),
    ("path = 'x'", ["1: path: unknown key; allowed at the top: "]),
    ("'a b' = 1", ['1: "a b": unknown key; allowed at the top: ']),
    ("[run]\nconcurrency = 0", ["2: run.concurrency: 0 is not allowed; it must be a whole number from 1 to 64"]),
    ("[run]\nconcurrency = true", ["2: run.concurrency: true is not allowed; it must be a whole number from 1 to 64"]),
    ("[run]\nconcurrency = 2.0", ["2: run.concurrency: 2.0 is not allowed; it must be a whole number from 1 to 64"]),
    (
        "[run]\nwaves = []",
        ["2: run.waves: an empty list is not allowed; it must be a list of whole numbers, each 1 or more"],
    ),
    ("[run]\nwaves = 5", ["2: run.waves: 5 is not allowed; it must be a list of whole numbers, each 1 or more"]),
    ("[run]\nwaves = [\n 1,\n 0,\n]", ["4: run.waves: 0 is not allowed; it must be a whole number, 1 or more"]),
    (
        "[run]\nstep_minutes = 0",
        ["2: run.step_minutes: 0 is not allowed; it must be a number of minutes above 0, at most a year"],
    ),
    ("[run]\nstep_minutes = nan", ["2: run.step_minutes: nan is not allowed"]),
    ("[run]\nstep_minutes = inf", ["2: run.step_minutes: inf is not allowed"]),
    ("[run]\nstep_minutes = 2020-01-01", ["2: run.step_minutes: 2020-01-01 is not allowed"]),
    (
        "[run]\nanswer_wait_minutes = -1",
        ["2: run.answer_wait_minutes: -1 is not allowed; it must be a number of minutes, 0 or more"],
    ),
    (f"[run]\nconcurrency = {'9' * 400}", ["2: run.concurrency: 999"]),
    (
        "[assess]\nregion_share = 1.01",
        ["2: assess.region_share: 1.01 is not allowed; it must be a share between 0 and 1"],
    ),
    (
        "[assess]\ntrust_registration = 'yes'",
        ['2: assess.trust_registration: "yes" is not allowed; it must be true or false'],
    ),
    ("store = 3", ["1: store: 3 is not allowed; it must be text in quotes"]),
    ("store = 'a\tb'", ["1: store: holds a control character"]),
    ("store = '''\na\nb'''", ["1: store: holds a control character"]),
    ("store = 'http://x'", ["1: store: must be a folder, or an address that begins with https://"]),
    (
        "targets = 'eastus'",
        ['1: targets: "eastus" is not allowed; it must be a list, each a region, such as "westeurope"'],
    ),
    ("targets = ['East US', 'eastus']", ['1: targets: "eastus" is here twice']),
    ("targets = ['']", ['1: targets: "" is not allowed; it must be a region']),
    ("targets = [['a']]", ["1: targets: a list is not allowed; it must be a region"]),
    ("subscriptions = ['prod']", ['1: subscriptions: "prod" is not allowed; it must be a subscription id']),
    ("cloud = 3", ["1: cloud: must be a table, not 3"]),
    ("[[cloud]]\n[[cloud]]", ["1: cloud: may be there once only: write [cloud], with single brackets"]),
    ("[host]\nid = 'x'", ["1: host: write [[host]], with two brackets, once for each"]),
    (
        "[cloud]\narm = 'http://x'",
        ['2: cloud.arm: "http://x" is not allowed; it must be an address that begins with https://'],
    ),
    ("[cloud]\narm = 'https://me:pw@x'", ["2: cloud.arm: "]),
    (
        "[cloud]\ncredential = 'az'",
        ['2: cloud.credential: "az" is not allowed; it must be one of "auto", "azure-cli", '],
    ),
    (
        "[channels]\nphysical = 'run-command'",
        ['2: channels.physical: "run-command" is not allowed; it must be one of '],
    ),
    (
        "[products.codespace]",
        ["1: products.codespace: drkit knows no product \"codespace\"; did you mean 'codespaces'? known: codespaces"],
    ),
    ("products = 3", ["1: products: 3 is not allowed; it must be a table"]),
    ("products.codespaces = 3", ["1: products.codespaces: 3 is not allowed; it must be a table"]),
    ("products.codespaces = { service = 'https://x' }", ["1: products.codespaces.service: "]),
    ("[products.codespaces]\nregistration = 'x'", ["2: products.codespaces.registration: "]),
    ("[products.codespaces]\nservice = '\\u0007'", ["2: products.codespaces.service: "]),
    ("\n[[host]]", ["2: host.id: is missing; it must be the full ARM id of the host, or a physical server's name"]),
    ("[[host]]\nid = ''", ['2: host.id: "" is not allowed']),
    ("[[host]]\nid = 'a/b'", ['2: host.id: "a/b" is neither a plain name nor the full ARM id']),
    (f"[[host]]\nid = '{VM}/extensions/e'", ["2: host.id: "]),
    (f"[[host]]\nid = '{VM}'\nkind = 'arc'", ['3: host.kind: is "arc", but the id is that of kind "azure-vm"']),
    ("[[host]]\nid = 'h'\nkind = 'arc'", ['2: host.id: a host of kind "arc" is named by its full ARM id']),
    ("[[host]]\nid = 'h'\nchannel = 'run-command'", ["3: host.channel: a physical server has no run command"]),
    ("[[host]]\nid = 'h'\nproduct = 'tunnel'", ['3: host.product: drkit knows no product "tunnel"']),
    (
        "[[host]]\nid = 'h'\nenvironment = 'E'\n[[host]]\nid = 'i'\nenvironment = 'e'",
        ['6: host.environment: environment "e" is claimed twice, by "h" before; leave one entry'],
    ),
    ("[[host]]\nid = 'h'\n[[host]]\nid = 'H'", ["3: host.environment: this host is named twice; leave one entry"]),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[text.replace("\n", " | ")[:60] for text, _ in CASES])
def test_a_fault_names_its_line_its_key_and_what_is_allowed(text: str, expected: list[str]) -> None:
    found = faults(text)
    assert len(found) == len(expected), found
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning)
    windows = faults(text.replace("\n", "\r\n")) if "'''" not in text else found
    assert windows == found


def test_every_fault_at_once_in_the_order_of_the_lines() -> None:
    text = "[[host]]\nuser = 3\n[run]\nwaves = 1\nx = 1\n[asess]\n[cloud]\narm = 1\n"
    assert [int(line.split(":")[0]) for line in faults(text)] == [1, 2, 4, 5, 6, 8]


@pytest.mark.parametrize(
    "text",
    [
        "[cloud]\nclient_secret = 'hunter2'",
        "[cloud]\nclientSecret = 'hunter2'",
        "[cloud]\npassword = 'hunter2'",
        "[cloud]\n'access-token' = 'hunter2'",
        "[products.codespaces]\napi_key = 'hunter2'",
        "[[host]]\nid = 'h'\nssh_key = 'hunter2'",
        "account_key = 'hunter2'",
        "storeSas = 'hunter2'",
        "store = 'https://a.blob.example/state?sig=hunter2'",
        "store = 'https://me:hunter2@a.example'",
    ],
)
def test_a_secret_in_settings_is_refused_not_shown_and_the_message_says_where_to_put_it(text: str) -> None:
    fault = one(text)
    assert "no secret belongs in this file" in fault
    assert "AZURE_CLIENT_SECRET" in fault
    assert "hunter2" not in fault


def test_a_disaster_is_no_sas() -> None:
    assert "secret" not in one("[run]\ndisaster = 1")


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b"store = \n", ":1"),
        (b"\n\nstore 3", ":3"),
        (b"[run]\nconcurrency = 1\n[run]\n", ":3"),
        (b"store = 'a'\nstore = 'b'\n", ":2"),
        (b"\n\n[run", ":3"),
        (b"\n\n[run\n\n\n", ":3"),
        (b"store = 'a'\rtargets = []", ":1"),
        (b"store = '\x00'", ":1"),
        (b"\nstore = '\xff'", ":2"),
        ("store = 'a'".encode("utf-16"), ":1"),
        (b"x = " + b"[" * 50_000, ""),
        (b"x = " + b"9" * 5_000, ""),
    ],
)
def test_what_is_not_toml_says_where(tmp_path: Path, raw: bytes, where: str) -> None:
    file = tmp_path / "drkit.toml"
    file.write_bytes(raw)
    with pytest.raises(FileError) as caught:
        load(file)
    assert caught.value.where == f"{file}{where}"
    assert len(str(caught.value)) < 300


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is a directory, not a regular file") as caught:
        load(tmp_path)
    assert caught.value.where == str(tmp_path)
    with pytest.raises(FileError, match=r"cannot be read: No such file or directory .*drkit\.sample\.toml"):
        load(tmp_path / "none")


# --- the place of things in TOML


def test_lines_of_tables_arrays_dotted_quoted_and_inline_keys() -> None:
    text = """\
top = 1 # [not.a.table]
'quoted key' = "= ] } #"
a.b . "c\\u0041" = { x = 1, y.z = [ {w = 1} ] }
[one.two]
long = \"\"\"
[run]
x = 1
\\\"\"\" still text\"\"\"\"\"
after = '''it's
'''
list = [ # remark ]
  1, 2,
  [ 3,
    4 ],
  { k = "v" },
]
[[many]]
first = 1979-05-27 07:32:00
[[many]]
  [many.sub]
  key = 1.5
  [[many.deep]]
  [[many.deep]]
  key = -inf
[one]
three = true
"""
    assert tomllib.loads(text)
    assert toml_faults.locate(text) == {
        ("top",): 1,
        ("quoted key",): 2,
        ("a",): 3,
        ("a", "b"): 3,
        ("a", "b", "cA"): 3,
        ("a", "b", "cA", "x"): 3,
        ("a", "b", "cA", "y"): 3,
        ("a", "b", "cA", "y", "z"): 3,
        ("a", "b", "cA", "y", "z", 0): 3,
        ("a", "b", "cA", "y", "z", 0, "w"): 3,
        ("one",): 25,
        ("one", "two"): 4,
        ("one", "two", "long"): 5,
        ("one", "two", "after"): 9,
        ("one", "two", "list"): 11,
        ("one", "two", "list", 0): 12,
        ("one", "two", "list", 1): 12,
        ("one", "two", "list", 2): 13,
        ("one", "two", "list", 2, 0): 13,
        ("one", "two", "list", 2, 1): 14,
        ("one", "two", "list", 3): 15,
        ("one", "two", "list", 3, "k"): 15,
        ("many",): 17,
        ("many", 0): 17,
        ("many", 0, "first"): 18,
        ("many", 1): 19,
        ("many", 1, "sub"): 20,
        ("many", 1, "sub", "key"): 21,
        ("many", 1, "deep"): 22,
        ("many", 1, "deep", 0): 22,
        ("many", 1, "deep", 1): 23,
        ("many", 1, "deep", 1, "key"): 24,
        ("one", "three"): 26,
    }


KEYS = st.text("abc.-_ #=[]\"'\\é", min_size=1, max_size=4)
PLAIN = st.one_of(st.integers(), st.booleans(), st.text("ab#='\"\\[]{},\n", max_size=6))
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
TABLES = st.dictionaries(KEYS, VALUES, max_size=4)


def quote(text: str) -> str:
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


def written(value: Any) -> str:
    """A value as TOML, lists over several lines."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str() if "\n" in value and "\\" not in value and '"' not in value:
            return f'"""\n{value}"""'
        case str():
            return quote(value)
        case _:
            return "[" + ",".join(f"\n# ]\n{written(item)}" for item in value) + "\n]"


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(item, (*path, key))


@given(st.lists(st.tuples(KEYS, st.booleans(), TABLES), max_size=4))
def test_every_path_of_any_file_has_the_line_it_was_written_on(parts: list[tuple[str, bool, dict[str, Any]]]) -> None:
    lines: list[str] = []
    expected: dict[tuple[str | int, ...], int] = {}
    kinds: dict[str, bool] = {}
    counts: dict[str, int] = {}
    for name, is_array, table in parts:
        if name in kinds and not (is_array and kinds[name]):
            continue
        kinds[name] = is_array
        path: tuple[str | int, ...] = (name,)
        lines += ["", f"[[{quote(name)}]] # [x]" if is_array else f"[ {quote(name)} ]"]
        expected.setdefault(path, len(lines))
        if is_array:
            path = (name, counts.get(name, 0))
            counts[name] = counts.get(name, 0) + 1
            expected[path] = len(lines)
        for key, value in table.items():
            expected[(*path, key)] = len(lines) + 1
            lines += f"{quote(key)} = {written(value)}".split("\n")
    text = "\n".join(lines)
    located = toml_faults.locate(text)
    assert set(located) == set(paths(tomllib.loads(text)))
    assert {path: located[path] for path in expected} == expected


@given(st.text("abn=[]{}\"'.,#1 \n\t", max_size=60))
def test_any_text_is_settings_or_a_file_error(text: str) -> None:
    try:
        read = parse(text, "drkit.toml")
    except FileError as error:
        refused = error
    else:
        assert read.path == "drkit.toml"
        return
    assert refused.where.startswith("drkit.toml")


# --- the documentation


def keys() -> list[tuple[str, str]]:
    """(table, key) of everything a drkit.toml may hold."""
    listed = []
    found: dict[str, Any] = {name: field.type for name, field in toml_faults.fields(SettingsFile).items()}
    found |= {f"products.{name}": struct for name, struct in PRODUCTS.items()}
    found["host"] = HostSettings
    for name, struct in found.items():
        if name == "products":
            continue
        if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
            listed += [(name, key) for key in toml_faults.fields(struct)]
        else:
            listed.append(("", name))
    return listed


def test_the_unchanged_sample_changes_nothing() -> None:
    sample = load(DOCS / "drkit.sample.toml")
    assert msgspec.structs.replace(sample, path="") == Settings()


def test_the_sample_holds_every_key_and_its_examples_are_good() -> None:
    text = (DOCS / "drkit.sample.toml").read_text("utf-8")
    examples = re.findall(r"^#(\w+) =", text, re.MULTILINE)
    twice = {key for key in examples if re.search(rf"^{key} =", text, re.MULTILINE)}
    for key in twice:
        text = re.sub(rf"^{key} =.*\n(?=#{key} =)", "", text, flags=re.MULTILINE)
    uncommented = re.sub(r"^#(?! )", "", text, flags=re.MULTILINE)
    read = parse(uncommented, "sample")
    assert [host.host_kind for host in read.hosts] == ["azure-vm", "physical"]
    table = tomllib.loads(uncommented)
    flat = {
        "": table,
        "host": table["host"][0],
        **{f"products.{name}": value for name, value in table["products"].items()},
    }
    missing = [(name, key) for name, key in keys() if key not in flat.get(name, table.get(name, {}))]
    assert missing == []


def test_the_documentation_has_every_key_with_its_default() -> None:
    text = (DOCS / "configuration.md").read_text("utf-8")
    sections = dict(re.findall(r"^## (?:`\[+)?([\w .-]+?)(?:\]+`)?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    defaults = toml_faults.fields(SettingsFile)
    for table, key in keys():
        rows = re.findall(rf"^\| `{key}` \| (.*?) \|", sections[table or "At the top"], re.MULTILINE)
        assert len(rows) == 1, (table, key)
        if table == "host":
            field = toml_faults.fields(HostSettings)[key]
        elif table.startswith("products."):
            field = toml_faults.fields(PRODUCTS[table.removeprefix("products.")])[key]
        else:
            field = toml_faults.fields(defaults[table].type)[key] if table else defaults[key]
        default = field.default_factory() if callable(field.default_factory) else field.default
        shown = "needed" if field.required else f"`{msgspec.json.encode(default).decode().replace(',', ', ')}`"
        assert rows[0] == shown.replace(".0`", "`"), (table, key)
