"""Every bad config is refused, with exactly the message beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from failover.config.load import load
from failover.errors import ConfigError

BAD = Path(__file__).parent / "bad"
CASES = sorted(BAD.glob("*.yaml"))


def problems_of(config: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What ``load`` says of a copy that nobody else may write, named without its folder."""
    copy = folder / config.name
    shutil.copyfile(config, copy)
    copy.chmod(0o600)
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError) as caught:
        load(config.name)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return f"{caught.value}\n"


@pytest.mark.parametrize("config", CASES, ids=lambda path: path.stem)
def test_a_bad_config_is_answered_in_these_words(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems_of(config, tmp_path, monkeypatch) == config.with_suffix(".txt").read_text()


def test_the_corpus_is_large_and_whole() -> None:
    assert len(CASES) >= 40
    assert {path.stem for path in CASES} == {path.stem for path in BAD.glob("*.txt")}


@pytest.mark.parametrize("good", ["good.yaml", "good-backups.yaml"])
def test_what_every_case_was_made_from_is_good(tmp_path: Path, good: str) -> None:
    copy = tmp_path / "good.yaml"
    shutil.copyfile(BAD.parent / good, copy)
    copy.chmod(0o600)
    assert load(copy).sites[0].name == "bureau"


@pytest.mark.parametrize("config", CASES, ids=lambda path: path.stem)
def test_no_message_speaks_the_language_of_programs(config: Path) -> None:
    text = config.with_suffix(".txt").read_text()
    for jargon in ("Input should", "Value error", "validation", "NoneType", "dict", "tuple", "pydantic", "<class"):
        assert jargon not in text
    for line in text.splitlines():
        assert line.startswith(f"{config.name}:")
        assert all(number.isdigit() for number in line.split(":")[1:3])
