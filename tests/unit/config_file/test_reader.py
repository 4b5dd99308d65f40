"""The configuration: where values come from, that every fault is told at once, what contradicts what."""

import json
import logging
import os
import re
import socket
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from sidecar.access.policy import Policy
from sidecar.commands import client_keys
from sidecar.config_file import advice, example, files, names, reader
from sidecar.errors import ConfigError
from sidecar.settings import App, Settings

ROOT = Path(__file__).parents[3]
SECRET = "s" * 43
KEYS = client_keys.key_set([client_keys.new_key()])
DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
GOOD = """
public_url = "https://auth.wiki.net"
[session]
cookie_secrets_file = "cookie-secrets.txt"
cookie_domain = "wiki.net"
[apps.wiki]
hosts = ["wiki.net"]
allow = ["*"]
"""
LOOPBACK = 'public_url = "http://127.0.0.1:8080"\n[store]\nkind = "memory"\n'

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration into a folder that has both files of secrets."""
    contents = {"cookie-secrets.txt": SECRET + "\n", "client-keys.json": KEYS}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)

    def write_it(text: str) -> Path:
        path = tmp_path / "sidecar.toml"
        path.write_text(text)
        return path

    return write_it


def faults(path: Path | None, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        reader.load(path, environ)
    return caught.value.faults


# Where values come from


def test_a_good_file_gives_its_values_and_the_defaults_of_the_rest(write: Write) -> None:
    settings = reader.load(write(GOOD), {})
    assert settings.public_url == "https://auth.wiki.net"
    assert settings.base_url == "https://auth.wiki.net/auth"
    assert settings.session.cookie_secrets == (SECRET,)
    assert settings.server.listen == "127.0.0.1:9180"
    assert settings.apps == {"wiki": App(hosts=("wiki.net",), allow=("*",))}


def test_the_environment_wins_over_the_file(write: Write) -> None:
    path = write(GOOD + '[log]\nlevel = "debug"\n')
    settings = reader.load(path, {"SIDECAR_LOG_LEVEL": "error", "SIDECAR_PREFIX": "/gate"})
    assert (settings.log.level, settings.prefix) == ("error", "/gate")


def test_without_a_file_the_environment_is_enough() -> None:
    environ = {"SIDECAR_PUBLIC_URL": "http://127.0.0.1:8080", "SIDECAR_STORE_KIND": "memory"}
    assert reader.load(None, environ).public_host == "127.0.0.1:8080"


def test_every_setting_of_every_section_can_be_set_in_the_environment(write: Write) -> None:
    environ = {"SIDECAR_PUBLIC_URL": "https://auth.wiki.net", "SIDECAR_PREFIX": "/auth"}
    for name, section in names.sections().items():
        for key in names.settings_of(section):
            default = next(each.default for each in fields(section) if each.name == key)
            written = example.literal(default, names.settings_of(section)[key])
            plain = tomllib.loads(f"x = {written}")["x"]
            if isinstance(plain, list):
                plain = ",".join(f"{p['name']}={p['url']}" if isinstance(p, dict) else p for p in plain)
            environ[names.variable(name, key)] = str(plain).lower() if isinstance(plain, bool) else str(plain)
    environ["SIDECAR_SESSION_COOKIE_SECRETS"] = SECRET
    settings = reader.load(write(""), environ)
    assert settings == Settings(
        public_url="https://auth.wiki.net",
        client=settings.client,
        store=settings.store,
        session=settings.session,
    )


def test_relative_paths_start_at_the_folder_of_the_file(write: Write, tmp_path: Path) -> None:
    path = write(GOOD)
    settings = reader.load(path, {"SIDECAR_STORE_PATH": "data/x.db"})
    assert settings.store.path == tmp_path / "data/x.db"
    assert settings.client.keys_file == tmp_path / "client-keys.json"


def test_hosts_lose_the_port_that_the_scheme_implies(write: Write) -> None:
    text = GOOD.replace('["wiki.net"]', '["WIKI.net.:443", "x.wiki.net:8443", "*.y.wiki.net:443"]')
    assert reader.load(write(text), {}).apps["wiki"].hosts == ("wiki.net", "x.wiki.net:8443", "*.y.wiki.net")


def test_variables_of_others_are_left_alone(write: Write) -> None:
    others = {"PATH": "/bin", "SIDECAR_CONFIG": "x", "SIDECAR_SITE": "x", "SIDECAR_UPSTREAM": "x"}
    assert reader.load(write(GOOD), others) == reader.load(write(GOOD), {})


def test_secrets_never_show_in_the_settings_text(write: Write) -> None:
    assert SECRET not in repr(reader.load(write(GOOD), {}))


# Faults


def test_every_fault_is_told_at_once_with_its_path_and_a_way_out(write: Write) -> None:
    told = faults(
        write("""
            public_url = "https://auth.wiki.net"
            prefx = "/x"
            [sesion]
            [server]
            workers = "many"
            socket_mode = 660
            [session]
            cache_ttl = "1m"
            idle = "1d"
            [groups]
            editors = ["alice"]
            [apps.wiki]
            hosts = ["wiki.net"]
            [apps."two words"]
            """),
        SIDECAR_LOG_LEVEL="loud",
        SIDECAR_SESION_IDLE="1d",
    )
    paths = [fault.partition(":")[0] for fault in told]
    assert paths == [
        "SIDECAR_SESION_IDLE",
        "prefx",
        "sesion",
        "server.socket_mode",
        "server.workers",
        "session.cache_ttl",
        "SIDECAR_LOG_LEVEL",
        "groups.editors",
        "apps.two words",
        "apps.two words.hosts",
        "session.cookie_secrets_file",
        "apps.wiki.hosts",
        "session.renew_after",
    ]
    assert all(";" in fault for fault in told if "must be" not in fault)


@pytest.mark.parametrize(
    ("text", "environ", "says"),
    [
        ('pubic_url = "x"', {}, "pubic_url: no such setting; did you mean public_url?"),
        ("[sever]", {}, "sever: no such setting; did you mean server?"),
        ("[log]\nlevle = 1", {}, "log.levle: no such setting; did you mean log.level?"),
        ("[log]\ncookie_domain = 1", {}, "log.cookie_domain: no such setting; it belongs in [session]"),
        ("zzzzzz = 1", {}, "zzzzzz: no such setting; docs/configuration.md has them all"),
        ("log = 1", {}, "log: must be a table; write [log] and its settings below"),
        ("[apps]\nwiki = 1", {}, "apps.wiki: must be a table; write [apps.wiki] and its settings below"),
        ("[apps.wiki]\nhost = 1", {}, "apps.wiki.host: no such setting; did you mean apps.wiki.hosts?"),
        (
            "",
            {"SIDECAR_LOG_LEVLE": "x"},
            "SIDECAR_LOG_LEVLE: no such setting; did you mean SIDECAR_LOG_LEVEL?",
        ),
        ("", {}, "public_url: missing; where browsers reach the sidecar, without a path"),
        (
            '[apps.wiki]\nallow = ["*"]',
            {},
            'apps.wiki.hosts: missing; host names, or "*.domain"; with a port',
        ),
        ('[groups]\n"a.b" = []', {}, "groups.a.b: a name has letters, digits, _ and - only, 63 at most"),
    ],
)
def test_a_fault_reads_so(write: Write, text: str, environ: dict[str, str], says: str) -> None:
    assert any(fault.startswith(says) for fault in faults(write(text), **environ))


def test_a_file_that_is_no_toml_is_one_fault_with_the_line(write: Write) -> None:
    (fault,) = faults(write('public_url = "x"\nnonsense\n'))
    assert "sidecar.toml: not TOML" in fault
    assert "line 2" in fault


def test_a_file_that_is_not_there_is_one_fault(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path / "none.toml")
    assert "No such file" in fault
    assert "sidecar init" in fault


def test_a_faulty_value_causes_no_faults_of_other_settings(write: Write) -> None:
    assert faults(write(GOOD.replace("https://auth.wiki.net", "https://auth.wiki.net/x")))[0].startswith(
        "public_url"
    )
    assert len(faults(write(GOOD.replace("https://auth.wiki.net", "https://auth.wiki.net/x")))) == 1


@pytest.mark.parametrize(
    ("public_url", "told_first"),
    [("https://auth.wiki.net/x", True), ("HTTPS://", True), ("https://wiki", False)],
)
def test_a_faulty_public_url_hides_nothing_that_its_scheme_alone_decides(
    write: Write, tmp_path: Path, public_url: str, told_first: bool
) -> None:
    (tmp_path / "client-keys.json").unlink()
    text = GOOD.replace("https://auth.wiki.net", public_url).replace("cookie_secrets_file", "#")
    secrets, keys = "session.cookie_secrets_file", "client.keys_file"
    assert [fault.partition(":")[0] for fault in faults(write(text))] == (
        ["public_url", secrets, keys] if told_first else [secrets, "public_url", keys]
    )


@pytest.mark.parametrize("public_url", ['"http://127.0.0.1:8080/x"', '"x"', "3"])
def test_without_https_a_faulty_public_url_is_the_only_fault(
    write: Write, tmp_path: Path, public_url: str
) -> None:
    (tmp_path / "client-keys.json").unlink()
    (fault,) = faults(write(LOOPBACK.replace('"http://127.0.0.1:8080"', public_url)))
    assert fault.startswith("public_url: ")


def test_a_faulty_entry_of_a_list_hides_no_fault_beside_it(write: Write) -> None:
    told = faults(write(GOOD.replace('["*"]', '["nobody", "@unknown", "no one", "@neither"]')))
    assert [fault.removeprefix("apps.wiki.allow: ")[:24] for fault in told] == [
        "'nobody': not a handle: ",
        "'no one': not a host nam",
        "there is no group unknow",
        "there is no group neithe",
    ]


def test_faults_of_templates_are_told_with_all_others(write: Write, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "error.html").write_text("{{ explanation.tittle }}")
    (tmp_path / "templates" / "style.css").write_bytes(b"\xff")
    told = faults(write(GOOD.replace("[apps", '[pages]\ntemplates = "templates"\nproviders = 1\n[apps')))
    assert [fault.split(" ")[:2] for fault in told] == [
        ["pages.providers:", "must"],
        ["pages.templates:", "style.css"],
        ["pages.templates:", "error.html"],
    ]


def test_a_file_that_may_not_be_read_is_no_reason_to_write_one(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(GOOD)
    monkeypatch.setattr("os.access", lambda *_: False)
    told = faults(path)
    assert [fault.partition(":")[0] for fault in told] == ["session.cookie_secrets_file", "client.keys_file"]

    def denied(*_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    told += faults(path)
    assert len(told) == 3
    for fault in told:
        assert "sudo" in fault
        assert "init" not in fault


def test_secrets_in_a_folder_that_may_not_be_entered_are_no_reason_to_write_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", denied)
    fault = files.private_file_fault(tmp_path / "cookie-secrets.txt") or ""
    assert fault.startswith(f"{tmp_path}/cookie-secrets.txt: Permission denied; run this as its owner")


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    assert faults(tmp_path) == [f"{tmp_path}: Is a directory; name a file with --config"]


@pytest.mark.parametrize("start", ["\ufeff", "\ufeff\n"])
def test_a_byte_order_mark_before_the_file_is_ignored(write: Write, start: str) -> None:
    plain = reader.load(write(GOOD), {})
    assert reader.load(write(start + GOOD), {}) == plain


def test_a_file_in_another_encoding_says_which_one_to_save_it_in(write: Write) -> None:
    path = write("")
    path.write_bytes(GOOD.encode("utf-16"))
    assert faults(path) == [f"{path}: not UTF-8; save it in that encoding"]


# Secrets


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_byte_order_mark_is_no_part_of_any_secret(write: Write, tmp_path: Path, line_end: str) -> None:
    lines = ["\ufeff" + "a" * 32, "\ufeff" + "b" * 32]  # two files with a mark each, put together
    (tmp_path / "cookie-secrets.txt").write_text(line_end.join(lines), "utf-8")
    assert reader.load(write(GOOD), {}).session.cookie_secrets == ("a" * 32, "b" * 32)


def test_a_secret_that_is_long_enough_only_with_its_byte_order_mark_is_refused(
    write: Write, tmp_path: Path
) -> None:
    (tmp_path / "cookie-secrets.txt").write_text("\ufeff" + "a" * 31, "utf-8")
    assert "shorter than 32" in faults(write(GOOD))[0]


def test_a_file_with_nothing_but_a_byte_order_mark_has_no_secret(write: Write, tmp_path: Path) -> None:
    (tmp_path / "cookie-secrets.txt").write_text("\ufeff\n", "utf-8")
    assert "is empty" in faults(write(GOOD))[0]


def test_secrets_come_one_a_line_the_first_signs(write: Write, tmp_path: Path) -> None:
    (tmp_path / "cookie-secrets.txt").write_text("a" * 32 + "\n\n" + "b" * 32 + "\r\n")
    assert reader.load(write(GOOD), {}).session.cookie_secrets == ("a" * 32, "b" * 32)


@pytest.mark.parametrize(
    ("content", "says"), [("", "is empty"), ("short\n", "shorter than 32"), (b"\xff" * 40, "utf-8")]
)
def test_a_file_without_good_secrets_is_refused(
    write: Write, tmp_path: Path, content: str | bytes, says: str
) -> None:
    (tmp_path / "cookie-secrets.txt").write_bytes(content.encode() if isinstance(content, str) else content)
    (fault,) = faults(write(GOOD))
    assert fault.startswith("session.cookie_secrets_file: ")
    assert says in fault


@pytest.mark.parametrize("name", ["cookie-secrets.txt", "client-keys.json"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_secrets_that_others_can_reach_are_refused(
    write: Write, tmp_path: Path, name: str, mode: int
) -> None:
    (tmp_path / name).chmod(mode)
    (fault,) = faults(write(GOOD))
    assert f"chmod 600 {tmp_path / name}" in fault


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"keys": []}',
        '{"keys": [1]}',
        '{"keys": [{"kty": "EC", "kid": "a"}]}',
        KEYS.replace('"d"', '"e"'),
        re.sub(r'"x": "[^"]*"', '"x": "AA"', KEYS),
        json.dumps({"keys": 2 * json.loads(KEYS)["keys"]}),
    ],
    ids=["empty", "a list", "no keys", "no objects", "fields missing", "public", "damaged", "one kid twice"],
)
def test_a_file_without_private_keys_is_refused(write: Write, tmp_path: Path, content: str) -> None:
    (tmp_path / "client-keys.json").write_text(content)
    (fault,) = faults(write(GOOD))
    assert fault.startswith("client.keys_file: ")
    assert "sidecar keygen" in fault


@pytest.mark.parametrize("text", [json.dumps(json.loads(KEYS)["keys"][0]), "\ufeff" + KEYS])
def test_a_single_key_and_a_byte_order_mark_are_fine(write: Write, tmp_path: Path, text: str) -> None:
    (tmp_path / "client-keys.json").write_text(text, "utf-8")
    assert reader.load(write(GOOD), {}).client.keys_file == tmp_path / "client-keys.json"


def test_what_systemd_hands_over_may_show_a_group_mode(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cookie-secrets.txt").chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert reader.load(write(GOOD), {}).session.cookie_secrets == (SECRET,)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "elsewhere"))
    assert faults(write(GOOD))


def test_secrets_both_ways_in_one_place_are_a_contradiction(write: Write) -> None:
    written = GOOD.replace("cookie_domain", f'cookie_secrets = ["{SECRET}"]\ncookie_domain')
    (fault,) = faults(write(written))
    assert fault == "session.cookie_secrets: set beside cookie_secrets_file; keep one of them"
    environ = {
        "SIDECAR_SESSION_COOKIE_SECRETS": SECRET,
        "SIDECAR_SESSION_COOKIE_SECRETS_FILE": "cookie-secrets.txt",
    }
    (fault,) = faults(write(GOOD), **environ)
    assert fault == (
        "SIDECAR_SESSION_COOKIE_SECRETS: set beside SIDECAR_SESSION_COOKIE_SECRETS_FILE; unset one of them"
    )


def test_secrets_of_the_environment_win_over_the_file_in_either_form(write: Write, tmp_path: Path) -> None:
    other = "o" * 43
    settings = reader.load(write(GOOD), {"SIDECAR_SESSION_COOKIE_SECRETS": other})
    assert settings.session.cookie_secrets == (other,)
    (tmp_path / "other.txt").write_text(other)
    (tmp_path / "other.txt").chmod(0o600)
    named = GOOD.replace('cookie_secrets_file = "cookie-secrets.txt"', f'cookie_secrets = ["{SECRET}"]')
    settings = reader.load(write(named), {"SIDECAR_SESSION_COOKIE_SECRETS_FILE": "other.txt"})
    assert settings.session.cookie_secrets == (other,)


def test_an_empty_variable_takes_no_secret_away(write: Write) -> None:
    settings = reader.load(write(GOOD), {"SIDECAR_SESSION_COOKIE_SECRETS": ""})
    assert settings.session.cookie_secrets == (SECRET,)


def test_every_secret_setting_can_come_from_a_file() -> None:
    for section in names.sections().values():
        known = names.settings_of(section)
        assert all(f"{key}_file" in known for key, setting in known.items() if setting.secret)


def test_without_secrets_a_deployment_is_refused(write: Write) -> None:
    (fault,) = faults(write(GOOD.replace('cookie_secrets_file = "cookie-secrets.txt"', "")))
    assert fault == "session.cookie_secrets_file: no cookie secret is set; `sidecar init` writes one"


def test_on_loopback_in_memory_missing_secrets_are_made_up_and_logged(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sidecar")
    first, second = (reader.load(write(LOOPBACK), {}).session.cookie_secrets for _ in range(2))
    assert len(first[0]) >= 43
    assert first != second
    assert [record.__dict__["event"] for record in caplog.records] == ["secrets_generated"] * 2
    assert first[0] not in caplog.text


def test_on_loopback_with_a_store_that_outlives_the_run_secrets_are_needed(write: Write) -> None:
    (fault,) = faults(write('public_url = "http://127.0.0.1:8080"'))
    assert "no cookie secret" in fault


# Contradictions


@pytest.mark.parametrize(
    ("change", "says"),
    [
        # the path of the client_id
        *[
            ({'"https://auth.wiki.net"': f'"https://auth.wiki.net"\n[client]\nid_path = "{path}"'}, says)
            for path, says in {
                "/auth": "client.id_path: lies under the prefix",
                "/auth/login": "client.id_path: lies under the prefix",
                "/auth/check/client.json": "client.id_path: lies under the prefix",
                "/AUTH/check": "client.id_path: lies under the prefix",
                "oauth-client-metadata.json": "client.id_path: must start with a slash",
            }.items()
        ],
        # the public URL
        ({"https://auth.wiki.net": "http://localhost:8080"}, "public_url: the loopback OAuth client"),
        (
            {"https://auth.wiki.net": "http://auth.wiki.net"},
            "public_url: http is for 127.0.0.1 and [::1] only",
        ),
        ({"https://auth.wiki.net": "http://192.168.0.1"}, "public_url: http is for 127.0.0.1 and [::1] only"),
        ({"https://auth.wiki.net": "http://127.0.0.3"}, "public_url: http is for 127.0.0.1 and [::1] only"),
        (
            {"https://auth.wiki.net": "https://auth.wiki.net:8443"},
            "public_url: authorization servers refuse a port",
        ),
        (
            {"https://auth.wiki.net": "https://192.0.2.1"},
            "public_url: authorization servers refuse a port or",
        ),
        (
            {"https://auth.wiki.net": "https://[2001:db8::1]"},
            "public_url: authorization servers refuse a port or",
        ),
        (
            {"https://auth.wiki.net": "https://wiki"},
            "public_url: authorization servers refuse a name without a dot",
        ),
        *[
            (
                {"https://auth.wiki.net": f"https://auth.{name}"},
                "public_url: authorization servers refuse reserved",
            )
            for name in (
                "test",
                "local",
                "localhost",
                "invalid",
                "example",
                "example.com",
                "example.org",
                "example.net",
            )
        ],
        # the cookie's domain
        (
            {'"wiki.net"\n[apps': '"other.net"\n[apps'},
            "session.cookie_domain: auth.wiki.net doesn't lie under it",
        ),
        (
            {'"wiki.net"\n[apps': '"iki.net"\n[apps'},
            "session.cookie_domain: auth.wiki.net doesn't lie under it",
        ),
        ({'"wiki.net"\n[apps': '"net"\n[apps'}, "session.cookie_domain: browsers refuse cookies for net"),
        (
            {"wiki.net": "wiki.github.io", '"wiki.github.io"\n[apps': '"github.io"\n[apps'},
            "session.cookie_domain: browsers",
        ),
        (
            {"wiki.net": "wiki.co.uk", '"wiki.co.uk"\n[apps': '"co.uk"\n[apps'},
            "session.cookie_domain: browsers",
        ),
        # the apps' hosts
        ({'cookie_domain = "wiki.net"': ""}, "apps.wiki.hosts: the session cookie never reaches wiki.net"),
        ({'["wiki.net"]': '["wiki.org"]'}, "apps.wiki.hosts: the session cookie never reaches wiki.org"),
        (
            {'["wiki.net"]': '["evilwiki.net"]'},
            "apps.wiki.hosts: the session cookie never reaches evilwiki.net",
        ),
        ({'["wiki.net"]': '["*.net"]'}, "apps.wiki.hosts: the session cookie never reaches *.net"),
        (
            {'["wiki.net"]': '["wiki.net", "Wiki.net:443"]'},
            "apps.wiki.hosts: wiki.net is in apps.wiki already",
        ),
        (
            {"[apps": '[apps.b]\nhosts = ["wiki.net"]\n[apps'},
            "apps.wiki.hosts: wiki.net is in apps.b already",
        ),
        # the rest
        ({'["*"]': '["@nobody"]'}, "apps.wiki.allow: there is no group nobody"),
        ({'["*"]': '["*"]\ndeny = ["@nobody"]'}, "apps.wiki.deny: there is no group nobody"),
        ({"[apps": 'renew_after = "4d"\n[apps'}, "session.renew_after: must be at most half of session.idle"),
        ({"[apps": 'absolute = "1d"\n[apps'}, "session.idle: must not be longer than session.absolute"),
        ({"[apps": '[identity]\ncache_ttl = "10m"\n[apps'}, "identity.cache_ttl: must be under 10 minutes"),
        (
            {"[apps": '[store]\nkind = "memory"\n[server]\nworkers = 2\n[apps'},
            "store.kind: a memory store serves one",
        ),
        ({"[apps": '[client]\nkeys_file = "none.json"\n[apps'}, "client.keys_file: "),
        ({"[apps": '[pages]\ntemplates = "none"\n[apps'}, "pages.templates: "),
        ({"[apps": "[identity]\ndevelopment_servers = true\n[apps"}, "identity.development_servers: refused"),
    ],
)
def test_a_contradiction_is_refused(write: Write, change: dict[str, str], says: str) -> None:
    text = GOOD
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    assert any(fault.startswith(says) for fault in faults(write(text)))


@pytest.mark.parametrize(
    "public_url",
    ["https://auth.wiki.net", "https://wiki.co.uk", "https://sidecar.internal", "https://bücher.net"],
)
def test_a_name_that_servers_take_as_client_id_is_accepted(write: Write, public_url: str) -> None:
    text = GOOD.split("cookie_domain", maxsplit=1)[0].replace("https://auth.wiki.net", public_url)
    assert reader.load(write(text), {}).scheme == "https"


@pytest.mark.parametrize("public_url", ["http://127.0.0.1:8080", "http://[::1]:8080", "http://127.0.0.1"])
def test_http_on_loopback_needs_no_keys(write: Write, tmp_path: Path, public_url: str) -> None:
    (tmp_path / "client-keys.json").unlink()
    assert reader.load(write(LOOPBACK.replace("http://127.0.0.1:8080", public_url)), {}).loopback


# Where it can't listen


def listening(folder: Path, path: Path | str) -> str:
    return GOOD + f"[server]\nlisten = {json.dumps(f'unix:{path}')}\n"


@pytest.mark.parametrize("name", ["s" * 200, "ü" * 60])
def test_a_path_too_long_for_a_unix_socket_is_a_fault(write: Write, tmp_path: Path, name: str) -> None:
    (fault,) = faults(write(listening(tmp_path, f"/run/{name}")))
    assert fault.startswith("server.listen: ")
    assert "107 bytes" in fault


def test_the_longest_path_of_a_unix_socket_is_none(write: Write, tmp_path: Path) -> None:
    for length, fits in ((107, True), (108, False)):
        path = "/tmp/" + "s" * (length - 5)
        if fits:
            assert reader.load(write(listening(tmp_path, path)), {}).server.listen == f"unix:{path}"
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path)
            Path(path).unlink()
        else:
            assert "107 bytes" in faults(write(listening(tmp_path, path)))[0]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("none/s.sock", "there is no folder"),
        ("file/s.sock", "isn't a folder"),
        ("file", "is there and isn't a socket"),
        ("folder", "is there and isn't a socket"),
    ],
)
def test_a_unix_socket_that_cannot_be_made_there_is_a_fault(
    write: Write, tmp_path: Path, path: str, says: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (fault,) = faults(write(listening(tmp_path, tmp_path / path)))
    assert fault.startswith("server.listen: ")
    assert says in fault


def test_a_folder_that_cannot_be_written_takes_no_unix_socket(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda _, mode: not mode & os.W_OK)
    (fault,) = faults(write(listening(tmp_path, tmp_path / "s.sock")))
    assert "can't be written" in fault
    assert "the user that runs the sidecar" in fault


def test_a_folder_below_run_may_be_made_by_systemd_so_it_is_a_warning(write: Write, tmp_path: Path) -> None:
    settings = reader.load(write(listening(tmp_path, "/run/no-such-folder/s.sock")), {})
    (line,) = reader.warnings(settings)
    assert line.startswith("server.listen: there is no folder /run/no-such-folder")
    assert "RuntimeDirectory=" in line


def test_the_socket_of_a_sidecar_that_runs_is_no_fault(write: Write, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as running:
        running.bind(str(tmp_path / "s.sock"))
        path = tmp_path / "s.sock"
        assert reader.load(write(listening(tmp_path, path)), {}).server.socket_path == path


def test_over_tcp_without_a_trusted_peer_nobody_may_connect_so_it_is_a_fault(write: Write) -> None:
    (fault,) = faults(write(GOOD + "[server]\ntrusted_peers = []"))
    assert fault.startswith("server.trusted_peers: empty, so nobody may connect, not even Caddy")
    (fault,) = faults(write(GOOD), SIDECAR_SERVER_TRUSTED_PEERS="")
    assert fault.startswith("server.trusted_peers: empty")


def test_on_a_unix_socket_no_peer_has_an_address_to_trust(write: Write, tmp_path: Path) -> None:
    text = listening(tmp_path, tmp_path / "s.sock") + "trusted_peers = []"
    assert reader.load(write(text), {}).server.trusted_peers == ()


def test_a_list_of_peers_of_which_none_can_be_read_is_one_fault(write: Write) -> None:
    (fault,) = faults(write(GOOD + '[server]\ntrusted_peers = ["caddy"]'))
    assert "write an address or a network" in fault


# Anyone in the world


@pytest.mark.parametrize("spelling", ["*", "anyone-with-an-account"])
def test_anyone_has_a_plain_name_and_both_are_said_in_plain_words(write: Write, spelling: str) -> None:
    settings = reader.load(write(GOOD.replace('"*"', json.dumps(spelling))), {})
    assert settings.apps["wiki"].allow == ("*",)
    (note,) = reader.notes(settings)
    assert note.startswith("apps.wiki.allow: ")
    assert "anyone in the world who has an account" in note


def test_a_group_that_holds_anyone_is_said_in_plain_words_too(write: Write) -> None:
    text = GOOD.replace('"*"', '"@all"') + '[groups]\nall = ["anyone-with-an-account"]'
    assert "anyone in the world who has an account" in reader.notes(reader.load(write(text), {}))[0]


def test_where_everyone_is_denied_there_is_nothing_to_say(write: Write) -> None:
    assert reader.notes(reader.load(write(GOOD + 'deny = ["anyone-with-an-account"]'), {})) == []


def test_where_only_some_may_pass_there_is_nothing_to_say(write: Write) -> None:
    text = GOOD.replace('"*"', f'"{DID}", "*.wiki.net", "@some"') + '[groups]\nsome = ["alice.net"]'
    assert reader.notes(reader.load(write(text), {})) == []


def test_cookies_know_no_ports_so_an_app_may_have_its_own(write: Write) -> None:
    text = LOOPBACK + '[apps.a]\nhosts = ["127.0.0.1:8080", "127.0.0.1:8081"]\n'
    assert len(reader.load(write(text), {}).apps["a"].hosts) == 2


@pytest.mark.parametrize("public_url", ["http://127.0.0.1:8080", "https://auth.sidecar.internal"])
def test_development_servers_are_for_names_that_nobody_else_can_reach(write: Write, public_url: str) -> None:
    environ = {"SIDECAR_PUBLIC_URL": public_url, "SIDECAR_SESSION_COOKIE_SECRETS": SECRET}
    assert reader.load(write("[identity]\ndevelopment_servers = true"), environ).identity.development_servers


def test_a_sqlite_store_serves_many_workers(write: Write) -> None:
    assert reader.load(write(GOOD), {"SIDECAR_SERVER_WORKERS": "4"}).server.workers == 4


def test_what_the_policy_would_refuse_is_a_fault_before_it_gets_there(write: Write) -> None:
    text = GOOD + 'deny = ["did:web:mallory.wiki.net", "@bad"]\n[groups]\nbad = ["*.bad.net"]\n'
    settings = reader.load(write(text), {})
    assert Policy(settings.apps, settings.groups, scheme=settings.scheme).knows("wiki.net")


# Warnings


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("", "/auth/client-metadata.json"),
        ("/auth/client-metadata.json", "/auth/client-metadata.json"),
        ("/oauth-client-metadata.json", "/oauth-client-metadata.json"),
        ("/authors.json", "/authors.json"),
    ],
)
def test_the_client_id_is_under_the_prefix_unless_its_path_is_chosen(
    write: Write, written: str, path: str
) -> None:
    settings = reader.load(write(GOOD), {"SIDECAR_CLIENT_ID_PATH": written})
    assert settings.client_id_path == path
    assert settings.client_id == f"https://auth.wiki.net{path}"


@pytest.mark.parametrize("kind", ["inline", "uri"])
def test_where_keys_are_published_stays_as_a_file_says(write: Write, kind: str) -> None:
    assert reader.load(write(GOOD + f'[client]\njwks = "{kind}"\n'), {}).client.jwks == kind


def test_a_file_that_does_not_say_where_keys_are_published_has_them_at_a_uri(write: Write) -> None:
    assert reader.load(write(GOOD), {}).client.jwks == "uri"


def test_a_plain_deployment_has_no_warnings(write: Write) -> None:
    assert reader.warnings(reader.load(write(GOOD), {})) == []


@pytest.mark.parametrize(
    ("addition", "says"),
    [
        ('[apps.b]\nhosts = ["b.wiki.net"]', "apps.b.allow: empty, so nobody gets in"),
        ('deny = ["mallory.net"]', "only a DID denies for good"),
        ('[client]\njwks = "inline"', 'client.jwks: with "inline" some servers refuse every later key'),
        ('deny = ["@bad"]\n[groups]\nbad = ["*.mallory.net"]', "only a DID denies for good"),
        ('[server]\nlisten = "unix:/tmp/s.sock"\nsocket_mode = "666"', "server.socket_mode: anyone"),
        ('[server]\ntrusted_peers = ["0.0.0.0/0"]', "server.trusted_peers: anyone"),
        ('[server]\nkeep_alive = "2m"', "server.keep_alive: not above"),
        ('[store]\nkind = "memory"', "store.kind: at a restart, memory forgets sign-outs"),
        ('[store]\npath = "nofolder/sidecar.db"', "store.path: there is no folder"),
        ('[store]\npath = "sidecar.toml/sidecar.db"', "sidecar.toml isn't a folder; name a file in one"),
        ('[store]\npath = "."', "is a folder; name a file in it"),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(write: Write, addition: str, says: str) -> None:
    (line,) = reader.warnings(reader.load(write(GOOD + addition), {}))
    assert says in line


def test_denying_dids_or_everyone_is_no_reason_to_warn(write: Write) -> None:
    text = f'deny = ["{DID}", "@bad", "*"]\n[groups]\nbad = ["{DID}"]'
    assert reader.warnings(reader.load(write(GOOD + text), {})) == []


def test_a_folder_that_may_not_be_looked_into_is_no_reason_to_warn(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = reader.load(write(GOOD), {})

    def denied(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", denied)
    assert reader.warnings(settings) == []


def test_in_memory_only_secrets_that_outlive_it_are_a_reason_to_warn(write: Write) -> None:
    text = LOOPBACK + '[apps.a]\nhosts = ["127.0.0.1:8080"]\nallow = ["*"]\n[session]\n'
    assert reader.warnings(reader.load(write(text), {})) == []
    (line,) = reader.warnings(reader.load(write(text + 'cookie_secrets_file = "cookie-secrets.txt"'), {}))
    assert line.startswith("store.kind: at a restart, memory forgets sign-outs")


def test_a_template_that_is_never_shown_is_a_warning(write: Write, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "sign-in.html").write_text("")
    (line,) = reader.warnings(reader.load(write(GOOD + '[pages]\ntemplates = "templates"'), {}))
    assert line.startswith("pages.templates: sign-in.html isn't the name of a page")


def test_a_configuration_without_apps_is_a_warning(write: Write) -> None:
    assert "apps: the file names no app" in reader.warnings(reader.load(write(LOOPBACK), {}))[0]


def test_development_servers_are_a_warning(write: Write) -> None:
    settings = reader.load(write(LOOPBACK), {"SIDECAR_IDENTITY_DEVELOPMENT_SERVERS": "true"})
    assert any(line.startswith("identity.development_servers: on") for line in advice.warnings(settings))


# The example and the reference


def test_the_example_is_made_from_the_settings() -> None:
    assert (ROOT / example.EXAMPLE).read_text("utf-8") == example.example()


def test_the_reference_is_made_from_the_settings() -> None:
    document = (ROOT / example.REFERENCE).read_text("utf-8")
    assert example.with_reference(document) == document
    assert "`revocation_max_stale`" in document


def test_every_setting_is_in_the_example_and_in_the_reference() -> None:
    shown, reference = example.example(), example.reference()
    sections: list[type[Any]] = [Settings, App, *names.sections().values()]
    for section in sections:
        for key, setting in names.settings_of(section).items():
            assert re.search(rf"^#?{key} = ", shown, re.MULTILINE)
            assert f"| `{key}` |" in reference
            assert setting.why in shown


def test_every_field_of_every_section_is_a_setting() -> None:
    sections: list[type[Any]] = [App, *names.sections().values()]
    for section in sections:
        assert set(names.settings_of(section)) == {each.name for each in fields(section)}


def test_the_example_loads_as_it_stands(write: Write) -> None:
    settings = reader.load(write(example.example()), {})
    assert settings.public_host == "auth.sidecar.internal"


def test_the_example_shows_the_true_defaults(write: Write) -> None:
    uncommented = re.sub(r"^#(?=[a-z_]+ = )", "", example.example(), flags=re.MULTILINE)
    everything, defaults = (
        reader.load(write(uncommented), {}),
        reader.load(write(example.example()), {}),
    )
    assert everything == defaults
    document = tomllib.loads(uncommented)
    for name, section in names.sections().items():
        assert set(document[name]) == {each.name for each in fields(section) if each.default is not MISSING}


@pytest.mark.parametrize(
    ("seconds", "text"), [(60.0, "60s"), (120.0, "2m"), (86400.0, "24h"), (172800.0, "2d"), (1.5, "1.5s")]
)
def test_a_duration_is_shown_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    setting = names.settings_of(names.sections()["session"])["idle"]
    assert json.loads(example.literal(seconds, setting)) == text
    assert setting.parse(text) == seconds


def test_the_generator_writes_both_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (example.EXAMPLE, example.REFERENCE):
        path.parent.mkdir()
        path.write_text((ROOT / path).read_text("utf-8").replace("| `idle` |", "| `stale` |"), "utf-8")
    example.main()
    for path in (example.EXAMPLE, example.REFERENCE):
        assert path.read_text("utf-8") == (ROOT / path).read_text("utf-8")


def test_the_development_configuration_works_with_nothing_set_up() -> None:
    settings = reader.load(ROOT / "config" / "sidecar.dev.toml", {})
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.apps["demo"].hosts == ("127.0.0.1:8080",)
    assert not settings.identity.development_servers
    assert reader.warnings(settings) == []


def test_the_examples_in_the_documentation_load(write: Write, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    least = 'public_url = "https://auth.sidecar-net.net"\n'
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for block in re.findall(r"^```toml\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            text = re.sub(
                r"\bexample\.(net|com|org)\b", "sidecar-\\1.net", block
            )  # reserved names are refused
            for name in re.findall(r'file = "(family.txt|wiki-hosts.txt)"', text):
                (tmp_path / name).touch()
            environ = {} if "cookie_secrets" in block else {"SIDECAR_SESSION_COOKIE_SECRETS": SECRET}
            text = text if "public_url" in text else least + text
            settings = reader.load(write(text), environ)
            assert settings.apps or "[apps" not in text, page


def test_a_private_server_is_said_in_plain_words(write: Write) -> None:
    text = GOOD.replace("[apps", '[identity]\nprivate_servers = ["https://PDS.home.example/"]\n[apps', 1)
    settings = reader.load(write(text), {})
    assert settings.identity.private_servers == ("https://pds.home.example",)
    (note,) = [each for each in reader.notes(settings) if "private_servers" in each]
    assert "sends requests to https://pds.home.example for anyone who names it" in note


@pytest.mark.parametrize(
    "origin",
    [
        "http://pds.home.example",
        "pds.home.example",
        "https://pds.home.example/path",
        "https://*.home.example",
        "10.0.0.0/8",
        "https://10.0.0.0/8",
        "",
        "*",
    ],
)
def test_a_private_server_is_exactly_one_https_origin(write: Write, origin: str) -> None:
    text = GOOD.replace("[apps", f'[identity]\nprivate_servers = ["{origin}"]\n[apps', 1)
    with pytest.raises(ConfigError, match=r"identity\.private_servers"):
        reader.load(write(text), {})
