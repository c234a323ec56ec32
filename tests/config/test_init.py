"""``failover init``: what it asks, what it writes, and what it never does."""

from __future__ import annotations

import os
import pty
import re
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from failover.cli.first_answers import ANSWERS, QUESTIONS_ZH
from failover.config.first import First, scalar
from failover.config.load import load
from failover.config.strict_yaml import read
from tests.config.conftest import ROOT, Failover, put

NEEDED = (
    "--name", "厦门市统计信息网", "--web", "10.77.0.11", "--web-backup", "10.77.0.12", "--address", "10.77.0.100/24",
    "--gateway", "10.77.0.1",
)  # fmt: skip


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(
    "more",
    [
        (),
        ("--wcm", "10.77.0.21"),
        ("--wcm", "10.77.0.21", "--wcm-backup", "[fd77::22]:2222", "--mail-to", "duty@example.cn", "--mode", "auto"),
        ("--text", "统计: \"数据\" # 1", "--interface", "bond0.7", "--mail-to", "a@b.cn", "--mail-server", "mail.b.cn"),
        ("--name", "yes: {no}", "--monitor", "10.77.0.10", "--content", "/srv/网站", "--unit", "httpd"),
        ("--address", "fd77::100/64", "--gateway", "fd77::1"),
    ],
    ids=lambda more: "-".join(word.strip("-") for word in more if word.startswith("--")) or "least",
)  # fmt: skip
def test_what_init_writes_passes_check_config_without_a_warning_but_for_its_secret(
    failover: Failover, tmp_path: Path, language: str, more: tuple[str, ...]
) -> None:
    file = tmp_path / "failover.yaml"
    said = failover("init", file, *NEEDED, "--language", language, *more)
    assert (said.code, said.out) == (0, ""), said.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    config = load(file)
    told_by_mail = "--mail-to" in more
    waits = "waits for a person's word"
    assert [each for each in config.warnings if waits not in each and "there is no file" not in each] == []
    assert any("secrets/robot-url" in each for each in config.warnings) is not told_by_mail
    given = dict(zip((*NEEDED, *more)[::2], (*NEEDED, *more)[1::2], strict=True))
    site = config.site()
    assert (site.name, site.site.language) == (given["--name"], language)
    assert site.addresses["www"].ip == given["--address"]
    assert site.plans["web"].mode == given.get("--mode", "propose")
    assert [step.kind for step in site.plans["web"].steps].count("content_synced") == ("--wcm" in given)


def test_both_languages_say_the_same(tmp_path: Path) -> None:
    def meaning(language: str) -> object:
        text = First(
            "站", "10.77.0.11", "10.77.0.12", "10.77.0.100/24", "10.77.0.1", language=language, wcm="10.77.0.21",  # type: ignore[arg-type]
            wcm_backup="10.77.0.22", mail_to="a@b.cn", monitor="10.77.0.10", text="统计",
        ).text_of_config()  # fmt: skip
        value = read(text.encode()).value
        del value["site"]["language"]
        return value

    assert meaning("zh") == meaning("en")
    assert set(QUESTIONS_ZH) == {answer.name for answer in ANSWERS}


def test_init_never_overwrites(failover: Failover, tmp_path: Path) -> None:
    file = put(tmp_path, "precious")
    said = failover("init", file, *NEEDED)
    assert said.code == 73
    assert said.err == f"{file} is there already; with --force it is replaced, and kept as {file}.old\n"
    assert file.read_text() == "precious"
    assert failover("init", file, *NEEDED, "--force").code == 0
    assert (tmp_path / "failover.yaml.old").read_text() == "precious"
    assert load(file).site().name == "厦门市统计信息网"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["failover.yaml", "failover.yaml.old"]


def test_init_follows_no_link_that_leads_nowhere(failover: Failover, tmp_path: Path) -> None:
    (tmp_path / "failover.yaml").symlink_to(tmp_path / "elsewhere")
    assert failover("init", tmp_path / "failover.yaml", *NEEDED).code == 73
    assert not (tmp_path / "elsewhere").exists()


def test_without_a_terminal_what_is_missing_is_named_at_once(failover: Failover, tmp_path: Path) -> None:
    said = failover("init", tmp_path / "x.yaml", "--name", "x", "--web", "10.77.0.11")
    assert said.code == 2
    assert "there is no terminal to ask at, so say --web-backup, --address, --gateway" in said.err


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--address", "10.77.0.100", "is not an address with its network's prefix"),
        ("--address", "10.77.0.100/33", "is not an address with its network's prefix"),
        ("--gateway", "gate", "is not an IP address"),
        ("--web", "10.77.0.11:port", "is no place for ssh"),
        ("--timezone", "Asia/Xiamen", "is no time zone"),
        ("--mode", "automatic", "is not possible here; it is off, propose, auto"),
        ("--language", "de", "is not possible here; it is zh, en"),
        ("--content", "srv/site", "is not an absolute path"),
        ("--mail-to", "duty", "is not a mail address"),
        ("--name", " ", "the name has 1 to 100 characters"),
    ],
)
def test_a_wrong_answer_is_refused_where_it_is_given(
    failover: Failover, tmp_path: Path, option: str, value: str, says: str
) -> None:
    said = failover("init", tmp_path / "x.yaml", *NEEDED, option, value)
    assert said.code == 2
    assert says in " ".join(said.err.split())
    assert not list(tmp_path.iterdir())


def test_answers_that_do_not_fit_together_write_nothing(failover: Failover, tmp_path: Path) -> None:
    said = failover("init", tmp_path / "x.yaml", *NEEDED, "--web", "10.77.0.100")
    assert said.code == 78
    assert "draft.yaml:" in said.err
    assert "10.77.0.100 is where the monitor reaches web" in said.err
    assert said.err.endswith("nothing was written: with these answers the config could not be used\n")
    assert not list(tmp_path.iterdir())


def test_init_can_print_it(failover: Failover) -> None:
    said = failover("init", "-", *NEEDED)
    assert said.code == 0
    assert read(said.out.encode()).value["site"]["name"] == "厦门市统计信息网"


def test_a_folder_that_is_not_there_is_a_sentence(failover: Failover, tmp_path: Path) -> None:
    said = failover("init", tmp_path / "no/x.yaml", *NEEDED)
    assert (said.code, said.err) == (73, f"{tmp_path}/no/x.yaml can't be written: No such file or directory\n")


def test_at_a_terminal_it_asks_in_the_chosen_language_until_the_answer_is_good(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    file = tmp_path / "failover.yaml"
    argv = [sys.executable, "-m", "failover", "init", str(file), "--gateway", "10.77.0.1"]
    answers = [
        "zh", "厦门", "", "10.77.0.11", "10.77.0.12", "10.77.0.100", "10.77.0.100/24", "", "10.77.0.21", "", "", "",
        "统计", "auto", "", "duty@example.cn", "", "",
    ]  # fmt: skip
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as process:
        os.close(theirs)
        seen = ""
        for answer in answers:
            seen = until(ours, r": $", seen)
            os.write(ours, f"{answer}\n".encode())
        seen = until(ours, r"is written", seen)
        assert process.wait(timeout=20) == 0
    os.close(ours)
    assert "网关" not in seen  # it was given
    assert "'10.77.0.100' is not an address with its network's prefix" in seen
    assert seen.count("访问者使用的地址") == 2
    site = load(file).site()
    assert (site.name, site.plans["web"].mode, site.roles["wcm"].home) == ("厦门", "auto", "wcm")


def until(terminal: int, pattern: str, seen: str) -> str:
    """What is on the terminal once something new matches."""
    new, end = "", time.monotonic() + 20
    while not re.search(pattern, new.replace("\r", "").rstrip("\n") if new.endswith(": ") else new):
        assert time.monotonic() < end, f"it never came: {seen}{new}"
        new += os.read(terminal, 65536).decode("utf-8", "replace")
    return seen + new


def test_the_templates_are_in_the_wheel(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"failover/config/first/zh.yaml.j2", "failover/config/first/en.yaml.j2"} <= set(names)


@pytest.mark.parametrize(
    "text", ["on", "true", "null", "3", "a: b", "a #b", "", " a", "{x}", "统计", '"', "\\", "a,b", "@x"]
)
def test_a_value_comes_back_from_the_yaml_as_it_went_in(text: str) -> None:
    assert read(f"{{key: {scalar(text)}, list: [{scalar(text)}]}}".encode()).value == {"key": text, "list": [text]}
