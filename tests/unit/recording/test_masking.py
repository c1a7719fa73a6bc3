from __future__ import annotations

import pytest

from sealrun.recording.masking import masked_arguments, masked_text, names_a_secret


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["x", "--token", "abc", "--lr", "0.1"], ["x", "--token", "***", "--lr", "0.1"]),
        (["x", "--api-key=abc", "--apikey", "q"], ["x", "--api-key=***", "--apikey", "***"]),
        (["x", "DB_PASSWORD=abc", "LR=0.1"], ["x", "DB_PASSWORD=***", "LR=0.1"]),
        (["psql", "postgres://u:p@h/db"], ["psql", "postgres://***@h/db"]),
        (["get", "https://h/x?a=1&X-Amz-Signature=ff&b=2"], ["get", "https://h/x?a=1&X-Amz-Signature=***&b=2"]),
        (["x", "-H", "Authorization: Bearer abcdefgh12345"], ["x", "-H", "Authorization: Bearer ***"]),
        (["x", "ghp_" + "a" * 36], ["x", "***"]),
        (["x", "AKIA" + "A" * 16], ["x", "***"]),
        (["x", "--password", "--verbose"], ["x", "--password", "--verbose"]),
        (["x", "--seed", "1", "--tokenizer", "bpe", "--max-tokens", "9"], None),
    ],
)
def test_a_command_line_is_shown_without_its_secrets(given: list[str], shown: list[str] | None) -> None:
    assert masked_arguments(given, {}) == (given if shown is None else shown)


def test_the_value_of_a_variable_named_like_a_secret_is_masked_wherever_it_turns_up() -> None:
    environ = {"AWS_SECRET_ACCESS_KEY": "wJalrX/Utn", "HOME": "/home/ana", "PIN_SECRET": "1"}
    assert masked_text("failed: wJalrX/Utn at /home/ana, 1 try", environ) == "failed: *** at /home/ana, 1 try"


def test_names_of_secrets_and_names_that_only_look_like_them() -> None:
    secret = ["PASSWORD", "db-password", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "api_key", "HF_TOKEN", "PGPASSWORD"]
    plain = ["TOKENIZERS_PARALLELISM", "max-tokens", "AUTHOR", "HOME", "passenger", "keyboard", "SSH_AUTH_SOCK"]
    assert [name for name in secret if not names_a_secret(name)] == []
    assert [name for name in plain if names_a_secret(name)] == []
