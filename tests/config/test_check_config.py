"""``failover check-config`` and ``failover schema``, as people type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from failover.config.schema import schema_text
from tests.config.conftest import GOOD, LAB, Failover, put


def test_a_good_config_is_one_line_with_what_is_in_it(failover: Failover, config: Path) -> None:
    counts = "1 site, 3 servers, 2 roles, 2 addresses, 4 checks, 1 plan, 1 channel: good"
    assert failover("check-config", config) == (0, f"{config}: {counts}\n", "")


def test_every_problem_is_said_on_stderr_and_the_exit_code_is_78(failover: Failover, config: Path) -> None:
    put(config.parent, LAB.read_text().replace("standby: web-backup, address", "standby: web-bakup, address"))
    said = failover("check-config", config)
    assert (said.code, said.out) == (78, "")
    assert (
        said.err == f"{config}:16:29: roles.web.standby: there is no server 'web-bakup'; did you mean 'web-backup'?\n"
    )


def test_the_design_pages_own_example_is_answered_in_its_words(failover: Failover, config: Path) -> None:
    step = "      - released: {address: www}\n"
    text = GOOD.read_text().replace(step, f"{step}      - kind: address_held\n        addres: www\n")
    at = text.splitlines().index("        addres: www") + 1
    put(config.parent, "#\n" * (31 - at) + text)
    words = "plans.web.steps.2: unknown key 'addres'; did you mean 'address'?"
    assert failover("check-config", config) == (78, "", f"{config}:31:9: {words}\n")


def test_warnings_are_said_and_only_strict_ones_count(failover: Failover, tmp_path: Path) -> None:
    config = put(tmp_path, LAB.read_text().replace("server: web-backup, url", "server: wcm, url"))
    said = failover("check-config", config)
    assert said.code == 0
    assert said.err.startswith(f"warning: {config}:16:29: roles.web.standby: no check looks at web-backup")
    assert said.out.endswith(": good\n")
    strict = failover("check-config", "--strict", config)
    assert (strict.code, strict.out, strict.err) == (78, "", said.err)


def test_a_draft_may_belong_to_anybody(failover: Failover, config: Path) -> None:
    config.chmod(0o666)
    refused = failover("check-config", config)
    assert refused.code == 78
    assert "everybody may write it (mode 0666)" in refused.err
    assert failover("check-config", "--draft", config).code == 0


def test_programs_get_json(failover: Failover, config: Path) -> None:
    good = json.loads(failover("check-config", config, "-o", "json").out)
    assert (good["good"], good["problems"], good["counts"]["servers"]) == (True, [], 3)
    config.write_text("site: 3\n")
    said = failover("check-config", config, "-o", "json")
    bad = json.loads(said.out)
    assert (said.code, bad["good"], bad["counts"]) == (78, False, {})
    assert bad["problems"][0].startswith(f"{config}:1:")


def test_the_path_may_come_from_the_environment(
    failover: Failover, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILOVER_CONFIG", str(config))
    assert failover("check-config").code == 0


def test_a_config_that_is_not_there_is_a_sentence(failover: Failover, tmp_path: Path) -> None:
    said = failover("check-config", tmp_path / "none.yaml")
    assert (said.code, said.err) == (78, f"{tmp_path}/none.yaml:1:1: it can't be read: No such file or directory\n")


def test_the_schema_is_printed_as_it_is(failover: Failover) -> None:
    assert failover("schema") == (0, schema_text(), "")
