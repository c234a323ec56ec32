"""A secret is found by name, read when it is used, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from failover.config.secrets import Secret, locate, named, read
from failover.errors import ConfigError


def secret(folder: Path, text: bytes = b"hunter2\nsecond line\n", mode: int = 0o600) -> Path:
    file = folder / "password"
    file.write_bytes(text)
    file.chmod(mode)
    return file


def test_it_is_the_first_line_and_shows_itself_only_when_asked(tmp_path: Path) -> None:
    secret(tmp_path)
    found = read("password", tmp_path)
    assert found.reveal() == "hunter2"
    assert "hunter2" not in f"{found} {found!r} {[found]} {found!s:>30}"
    assert not hasattr(found, "__dict__"), "nothing that a dump of variables could show"


def test_systemds_credential_goes_before_the_file_beside_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials, beside = tmp_path / "credentials", tmp_path / "etc"
    credentials.mkdir()
    beside.mkdir()
    secret(beside, b"from the folder")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert read("password", beside).reveal() == "from the folder"
    secret(credentials, b"from systemd", 0o400)
    assert read("password", beside).reveal() == "from systemd"
    assert locate(beside / "password", beside) == beside / "password", "an absolute path is that file"


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        (b"hunter2", 0o604, "everybody may read this secret (mode 0604)"),
        (b"hunter2", 0o660, "its group may write it (mode 0660)"),
        (b"\n", 0o600, "it is empty"),
        (b"\xff\xfehunter2", 0o600, "it is not UTF-8 text"),
    ],
)
def test_what_cannot_be_trusted_or_read_is_refused_without_showing_it(
    tmp_path: Path, text: bytes, mode: int, says: str
) -> None:
    secret(tmp_path, text, mode)
    with pytest.raises(ConfigError) as caught:
        read("password", tmp_path)
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_absent_secret_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"/password: No such file or directory"):
        read("password", tmp_path)


def test_every_secret_of_a_config_is_found_wherever_it_stands() -> None:
    value = {"channels": {"a": {"url_file": "x", "ca_file": "y"}, "b": [{"password_file": "z", "other_file": 5}]}}
    assert list(named(value)) == [
        (("channels", "a", "url_file"), "x"),
        (("channels", "b", 0, "password_file"), "z"),
    ]


def test_two_secrets_are_not_told_apart_by_their_looks() -> None:
    assert repr(Secret("a")) == repr(Secret("b")) == "Secret(***)"
