"""What a config says of databases: what works and deserves a look, and what steps and helpers are told."""

from __future__ import annotations

import shutil
from pathlib import Path

from failover.config.config import Config
from failover.config.load import load

GOOD = Path(__file__).parent / "good-backups.yaml"


def loaded(folder: Path, *changes: tuple[str, str]) -> Config:
    copy = folder / "failover.yaml"
    shutil.copyfile(GOOD, copy)
    text = copy.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    copy.write_text(text)
    copy.chmod(0o600)
    return load(copy)


def about_the_database(config: Config) -> list[str]:
    return [warning for warning in config.warnings if "plans.database" in warning]


def test_a_good_one_deserves_no_look(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    assert about_the_database(config) == []
    section = config.sites[0].roles["database"].database
    assert section is not None
    assert (section.database.port, section.database.user) == (5432, "failover")


def test_the_port_is_the_engines_own(tmp_path: Path) -> None:
    section = loaded(tmp_path, ("engine: postgresql", "engine: mariadb")).sites[0].roles["database"].database
    assert section is not None
    assert section.database.port == 3306


def test_backups_of_other_tools_alone_allow_no_planned_move(tmp_path: Path) -> None:
    (warning,) = about_the_database(loaded(tmp_path, ("backups: [wcm-db, paper]", "backups: [paper]")))
    assert "failover makes none of paper itself, so that a planned move" in warning


def test_a_bound_that_most_of_the_day_is_above_is_said(tmp_path: Path) -> None:
    (warning,) = about_the_database(loaded(tmp_path, ("max_loss: 26h", "max_loss: 8h")))
    assert "a backup is up to 1 d old before the next one is there; of more than 8 h" in warning
