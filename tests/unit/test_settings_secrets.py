"""Variables and secrets in the settings: where they come from, and that they are never shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sealrun.domain.errors import ConfigurationError
from sealrun.settings import Secret, Settings, expanding, load_settings

HIDDEN = "do-not-show-me"


def settings_with(folder: Path, options: str, url: str = "s3://bucket/x", **environ: str) -> Settings:
    """Load settings of one registry with the inline table `options`."""
    file = folder / "sealrun.toml"
    file.write_text(f'version = 1\n[registry.main]\nurl = "{url}"\nstorage_options = {options}\n')
    return load_settings(file, environ, folder)


def options_of(settings: Settings) -> dict[str, object]:
    return settings.registries["main"].revealed_options()


def test_variables_are_expanded_in_every_string_and_two_dollars_are_one(tmp_path: Path) -> None:
    settings = settings_with(
        tmp_path,
        '{ endpoint_url = "http://${HOST}:${PORT}/", client_kwargs = { list = ["$$x", "a$b", "${HOST}"] } }',
        url="s3://${HOST}/x",
        HOST="somewhere",
        PORT="1",
    )
    assert settings.registries["main"].url == "s3://somewhere/x"
    assert options_of(settings) == {
        "endpoint_url": "http://somewhere:1/",
        "client_kwargs": {"list": ["$x", "a$b", "somewhere"]},
    }


def test_an_expanded_value_is_not_expanded_again(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, '{ profile = "${OUTER}" }', OUTER="${INNER}")
    assert options_of(settings) == {"profile": "${INNER}"}


def test_a_variable_that_is_not_set_is_named_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"registry\.main\.storage_options\.profile: .* NOT_SET is not set"):
        settings_with(tmp_path, '{ profile = "${NOT_SET}" }')


@pytest.mark.parametrize("text", ["${", "${}", "${A", "${A-b}", "${1}"])
def test_half_a_variable_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no variable"):
        settings_with(tmp_path, f'{{ profile = "{text}" }}', A="a")


def test_secrets_come_from_the_environment_a_file_or_a_credential_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "token.txt").write_text("from a file\n")
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "deep").write_text("from systemd")
    settings = settings_with(
        tmp_path,
        '{ key = { env = "KEY" }, token = { file = "token.txt" }, a = [{ b = { credential = "deep" } }] }',
        KEY="from the environment",
        CREDENTIALS_DIRECTORY=str(tmp_path / "credentials"),
    )
    assert options_of(settings) == {
        "key": "from the environment",
        "token": "from a file",
        "a": [{"b": "from systemd"}],
    }


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('{ env = "NOT_SET" }', "NOT_SET is not set"),
        ('{ file = "missing" }', "cannot be read from"),
        ('{ credential = "x" }', "CREDENTIALS_DIRECTORY is not set"),
    ],
)
def test_a_secret_that_is_not_there_is_named_with_the_setting(tmp_path: Path, table: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"storage_options\.secret: .*{words}"):
        settings_with(tmp_path, f"{{ secret = {table} }}")


def test_a_command_by_hand_has_the_credentials_of_the_service_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "s3-secret").write_text("from systemd")
    monkeypatch.setattr(expanding, "SERVICE_CREDENTIALS", str(tmp_path / "credentials"))
    settings = settings_with(tmp_path, '{ secret = { credential = "s3-secret" } }')
    assert options_of(settings) == {"secret": "from systemd"}


@pytest.mark.parametrize("name", ["../outside", "", ".."])
def test_a_credential_never_leads_out_of_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").write_text(HIDDEN)
    (tmp_path / "credentials").mkdir()
    with pytest.raises(ConfigurationError, match="not the name of a credential"):
        settings_with(
            tmp_path, f'{{ secret = {{ credential = "{name}" }} }}', CREDENTIALS_DIRECTORY=str(tmp_path / "credentials")
        )


def test_a_secret_of_a_notification_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "sealrun.toml"
    file.write_text(
        'version = 1\n[[notify]]\non = ["x"]\nurl = "https://hooks.example"\nsecret = { env = "NOT_SET" }\n'
    )
    with pytest.raises(ConfigurationError, match=r"\[\[notify\]\].*secret.*NOT_SET"):
        load_settings(file, {}, tmp_path)


@pytest.mark.parametrize("key", ["key", "secret", "token", "password", "account_key", "sas_token", "connection_string"])
def test_what_sounds_secret_is_masked_however_it_was_written(tmp_path: Path, key: str) -> None:
    for value in (f'"{HIDDEN}"', '"${VALUE}"', '{ env = "VALUE" }', f'{{ inner = {{ {key} = "{HIDDEN}" }} }}'):
        settings = settings_with(tmp_path, f"{{ {key} = {value} }}", VALUE=HIDDEN)
        assert HIDDEN not in json.dumps(settings.shown())
        assert HIDDEN in str(options_of(settings))


def test_a_secret_table_is_masked_under_any_key(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, '{ endpoint_url = { env = "VALUE" } }', VALUE=HIDDEN)
    assert HIDDEN not in json.dumps(settings.shown()) + repr(settings) + str(settings.registries)


def test_user_password_and_query_of_a_url_are_not_shown(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, "{}", url=f"sftp://user:{HIDDEN}@host/path?sig={HIDDEN}")
    assert settings.shown()["registry"]["main"]["url"] == "sftp://host/path"
    assert HIDDEN in settings.registries["main"].url


def test_a_secret_is_written_as_asterisks_by_every_usual_way() -> None:
    secret = Secret(HIDDEN, "env X")
    assert {str(secret), repr(secret), f"{secret}", "{}".format(secret)} == {"***"}  # noqa: UP032 - the ways are the point
    assert secret.reveal() == HIDDEN
    assert secret == Secret(HIDDEN, "file y")
    assert secret != Secret("another", "env X")


def test_everything_below_a_key_that_sounds_secret_is_masked_also_a_table_that_is_misspelled(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, f'{{ secret = {{ env = "VALUE", fiel = "{HIDDEN}" }} }}', VALUE="x")
    assert HIDDEN not in json.dumps(settings.shown())


def test_user_and_password_in_a_url_under_any_key_are_masked(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, f'{{ endpoint_url = "https://user:{HIDDEN}@s3.example:9000/a@b" }}')
    shown = json.dumps(settings.shown())
    assert HIDDEN not in shown
    assert "s3.example:9000/a@b" in shown
