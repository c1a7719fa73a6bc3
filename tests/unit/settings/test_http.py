"""``[http]``: where the daemon listens, and that nobody listens to the world without a token."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealrun.domain.errors import ConfigurationError
from sealrun.settings import Settings, load_settings
from sealrun.settings.http import HttpSettings, parse_place

TOKEN = "0123456789abcdef0123"  # noqa: S105 - invented
_BASE = 'version = 1\n[registry.main]\nurl = "registry"\n'


def settings_of(folder: Path, text: str) -> Settings:
    file = folder / "sealrun.toml"
    file.write_text(_BASE + text)
    return load_settings(file, {"TOKEN": TOKEN, "SHORT": "secret", "SPACED": "a b" * 10}, folder)


def http_of(folder: Path, text: str) -> HttpSettings:
    http = settings_of(folder, "[http]\n" + text).http
    assert http is not None
    return http


def test_without_the_table_the_daemon_listens_nowhere(tmp_path: Path) -> None:
    assert settings_of(tmp_path, "").http is None


def test_an_empty_table_means_this_machine_only(tmp_path: Path) -> None:
    http = http_of(tmp_path, "")
    assert (str(http.place), http.place.reach, http.open_token(), http.hosts) == ("127.0.0.1:9478", "machine", None, ())


@pytest.mark.parametrize(
    ("text", "reach"),
    [
        ("127.0.0.1:9478", "machine"),
        ("127.3.2.1:1", "machine"),
        ("localhost:65535", "machine"),
        ("[::1]:9478", "machine"),
        ("unix:/run/sealrun/http.sock", "machine"),
        ("0.0.0.0:9478", "everywhere"),
        ("[::]:9478", "everywhere"),
        ("192.0.2.7:80", "address"),
        ("[2001:db8::7]:80", "address"),
        ("host.example:80", "address"),
        ("localhost.example:80", "address"),
    ],
)
def test_a_place_says_who_gets_there_and_is_written_as_it_was(text: str, reach: str) -> None:
    place = parse_place(text)
    assert (place.reach, str(place)) == (reach, text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "9478", ":9478", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:9478", "[::1]", "[127.0.0.1]:1"),
        *("a b:1", "http://127.0.0.1:9478", "unix:relative.sock", "unix:/" + "x" * 120, "host/path:80"),
    ],
)
def test_what_is_no_place_is_refused_with_what_is_expected(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="expected HOST:PORT"):
        settings_of(tmp_path, f'[http]\nlisten = "{text}"\n')


@pytest.mark.parametrize("listen", ["0.0.0.0:9478", "[::]:9478", "192.0.2.7:9478", "host.example:9478"])
def test_what_other_machines_reach_needs_a_token(tmp_path: Path, listen: str) -> None:
    with pytest.raises(ConfigurationError, match="reached from other machines: set a token"):
        settings_of(tmp_path, f'[http]\nlisten = "{listen}"\n')
    http = http_of(tmp_path, f'listen = "{listen}"\ntoken = {{ env = "TOKEN" }}\n')
    assert http.open_token() == TOKEN


def test_the_token_is_fetched_only_by_whoever_needs_it(tmp_path: Path) -> None:
    http = http_of(tmp_path, 'token = { env = "NOT_SET" }\n')
    with pytest.raises(ConfigurationError, match="NOT_SET is not set"):
        http.open_token()


@pytest.mark.parametrize("name", ["SHORT", "SPACED"])
def test_a_token_that_can_be_guessed_or_cannot_be_sent_is_refused_and_not_shown(tmp_path: Path, name: str) -> None:
    http = http_of(tmp_path, f'token = {{ env = "{name}" }}\n')
    with pytest.raises(ConfigurationError, match="at least 16") as caught:
        http.open_token()
    assert "secret" not in str(caught.value).replace("[http] token", "")
    assert "a b" not in str(caught.value)


def test_a_token_is_never_written_into_the_settings_themselves(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="token"):
        settings_of(tmp_path, f'[http]\ntoken = "{TOKEN}"\n')


def test_a_token_is_shown_nowhere(tmp_path: Path) -> None:
    (tmp_path / "http-token").write_text(TOKEN + "\n")
    settings = settings_of(tmp_path, '[http]\ntoken = { file = "http-token" }\n')
    assert settings.http is not None
    assert settings.http.open_token() == TOKEN
    assert TOKEN not in f"{settings!r} {settings.http!r} {settings.shown()}"


@pytest.mark.parametrize("host", ["", "http://a", "a:80", "a/b", "a b", "*", "*.example", "-a"])
def test_what_is_no_host_name_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match="no host name"):
        settings_of(tmp_path, f'[http]\nhosts = ["{host}"]\n')


def test_host_names_are_compared_in_lower_case_and_without_brackets(tmp_path: Path) -> None:
    assert http_of(tmp_path, 'hosts = ["Box.Example", "[2001:DB8::7]", "192.0.2.7"]\n').hosts == (
        "box.example",
        "2001:db8::7",
        "192.0.2.7",
    )
