"""One file or many, what is filled in, who may write and read the files, and how long it all takes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from failover.config.config import Config
from failover.config.load import load
from failover.config.strict_yaml import read
from failover.errors import ConfigError
from failover.model import Mode

GOOD = read((Path(__file__).parent / "good.yaml").read_bytes()).value
COMMON = ("people", "channels", "store", "console")


def write(file: Path, value: object) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1))
    file.chmod(0o600)
    return file


def good(**sections: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD, **sections}.items() if value is not None}


def loaded(folder: Path, **sections: Any) -> Config:
    return load(write(folder / "failover.yaml", good(**sections)))


def refused(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [problem.replace(f"{path.parent}/", "") for problem in caught.value.problems]


# one file, many files -------------------------------------------------------------------------------------------


def test_one_file_holds_everything(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    (site,) = config.sites
    assert (site.name, site.site.timezone) == ("bureau", "Asia/Shanghai")
    assert site.servers["wcm-backup"].ssh.port == 2222
    assert config.common.channels["robot"].least == "warning"
    assert list(site.named_witnesses) == ["ping 10.77.0.1"]
    assert config.warnings == ()


def test_many_sites_lie_beside_what_they_share(tmp_path: Path) -> None:
    main = write(tmp_path / "failover.yaml", {name: GOOD[name] for name in COMMON if name in GOOD})
    for name, ip in (("north", "10.77.0.100/24"), ("south", "10.77.0.200/24")):
        own = {key: value for key, value in good(site={"name": name}).items() if key not in COMMON}
        write(tmp_path / f"sites.d/{name}.yaml", {**own, "addresses": {"www": {"ip": ip}}})
    config = load(main)
    assert [site.name for site in config.sites] == ["north", "south"]
    assert config.site("south").addresses["www"].host == "10.77.0.200"
    assert len(config.texts) == 3


def test_problems_of_all_files_come_at_once_in_the_order_of_their_places(tmp_path: Path) -> None:
    main = write(tmp_path / "failover.yaml", {"channels": {"x": {"kind": "smoke"}}})
    own = {key: value for key, value in GOOD.items() if key not in COMMON}
    write(tmp_path / "sites.d/a.yaml", {**own, "languages": "zh"})
    write(tmp_path / "sites.d/b.yaml", {**own, "console": {}})
    write(tmp_path / "sites.d/c.yaml", "site: [\n")
    problems = refused(main)
    files = [problem.partition(":")[0] for problem in problems]
    assert files == sorted(files)
    assert set(files) == {"failover.yaml", "sites.d/a.yaml", "sites.d/b.yaml", "sites.d/c.yaml"}
    text = "\n".join(problems)
    assert "unknown key 'languages'" in text
    assert "'console' is common to all sites; it belongs into" in text
    assert "the site 'bureau' is in " in text
    assert "10.77.0.100 is a service address in " in text


def test_a_config_without_any_site_says_where_one_belongs(tmp_path: Path) -> None:
    write(tmp_path / "sites.d/readme.txt", "")
    main = write(tmp_path / "failover.yaml", {"console": {"listen": None}})
    assert refused(main) == ["failover.yaml:1:1: there is no site in it, nor in sites.d/*.yaml beside it"]


def test_the_same_config_has_the_same_sum_and_any_other_another(tmp_path: Path) -> None:
    before = loaded(tmp_path).sha256
    assert loaded(tmp_path).sha256 == before
    assert loaded(tmp_path, monitor=["10.77.0.9"]).sha256 != before


# what is filled in ----------------------------------------------------------------------------------------------


def test_a_channel_may_name_people(tmp_path: Path) -> None:
    mail = {**GOOD["channels"]["duty"], "to": ["lin", "boss@example.cn"]}
    config = loaded(tmp_path, channels={"duty": mail})
    assert config.common.channels["duty"].to == ("lin@example.cn", "boss@example.cn")  # type: ignore[union-attr]


def test_automation_off_leaves_every_plan_a_proposal(tmp_path: Path) -> None:
    assert loaded(tmp_path).sites[0].plans["web"].mode is Mode.AUTO
    config = loaded(tmp_path, automation="off", witnesses=None)
    assert config.sites[0].plans["web"].mode is Mode.PROPOSE
    assert any("automation is off" in warning for warning in config.warnings)


def test_a_profile_sets_the_timers_of_the_checks_that_plans_wait_for_and_no_others(tmp_path: Path) -> None:
    for profile, every, confirm in (("default", 0.5, 0.1), ("fast", 0.2, 0.05)):
        checks = loaded(tmp_path, profile=profile).sites[0].checks
        assert (checks["website"].every, checks["website"].confirm_every) == (every, confirm)
        assert checks["web"].every == 2.0, "what a check says itself holds"
        assert checks["web"].confirm_every == confirm
        assert checks["alive"].every == 5.0, "no plan waits for it"


# warnings -------------------------------------------------------------------------------------------------------


def test_an_address_in_a_network_of_no_server_is_worth_a_look(tmp_path: Path) -> None:
    (warning,) = loaded(tmp_path, addresses={"www": {"ip": "10.99.0.100/24"}}).warnings
    assert "addresses.www.ip: 10.99.0.100 is in the network 10.99.0.0/24, and neither web (10.77.0.11)" in warning


def test_a_plan_that_will_have_to_wait_for_a_person_is_said_in_daylight(tmp_path: Path) -> None:
    servers = {**GOOD["servers"], "web": {"ssh": "10.77.0.11"}}
    (warning,) = loaded(tmp_path, servers=servers).warnings
    assert warning.endswith("when web doesn't answer, the run waits for a person's word: web has no fence")


def test_accepted_silence_is_said_each_time(tmp_path: Path) -> None:
    silence = {"silence": {"time": "60s", "accept": "two servers may answer for this address at once"}}
    address = {"ip": "10.77.0.100/24", "release": ["read-back", silence]}
    servers = {**GOOD["servers"], "web": {"ssh": "10.77.0.11"}}
    (warning,) = loaded(tmp_path, servers=servers, addresses={"www": address}).warnings
    assert "1 min of silence from web are taken for proof: two servers may answer for www" in warning


# files that others could have written ---------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "who"), [(0o666, "everybody"), (0o602, "everybody"), (0o660, "its group")])
def test_a_config_that_others_may_write_is_refused(tmp_path: Path, mode: int, who: str) -> None:
    path = write(tmp_path / "failover.yaml", good())
    path.chmod(mode)
    (problem,) = refused(path)
    assert problem.startswith(f"failover.yaml:1:1: {who} may write it (mode {mode:04o})")
    assert load(path, trusted=True).sites


def test_a_site_that_others_may_write_is_refused_too(tmp_path: Path) -> None:
    main = write(tmp_path / "failover.yaml", {name: GOOD[name] for name in COMMON if name in GOOD})
    site = write(tmp_path / "sites.d/a.yaml", {key: value for key, value in GOOD.items() if key not in COMMON})
    site.chmod(0o622)
    assert any(problem.startswith("sites.d/a.yaml:1:1: everybody may write it") for problem in refused(main))


def test_a_folder_in_which_others_may_put_another_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "etc/failover.yaml", good())
    path.parent.chmod(0o777)
    assert "its folder may be written by others" in refused(path)[0]
    path.parent.chmod(0o1777)
    assert load(path).sites, "in a sticky folder nobody can replace what isn't theirs"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_config_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "failover.yaml", good())
    os.chown(path, 65534, 0)
    assert "it belongs to user 65534, neither to root nor to who runs this" in refused(path)[0]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "it can't be read: No such file or directory"),
        (lambda path: path.mkdir(), "it can't be read: Is a directory"),
        (lambda path: os.mkfifo(path), "it is no file"),
    ],
    ids=["absent", "a folder", "a pipe"],
)
def test_what_is_no_file_is_said_and_never_waited_for(tmp_path: Path, make: Any, says: str) -> None:
    path = tmp_path / "failover.yaml"
    make(path)
    (problem,) = refused(path)
    assert problem == f"failover.yaml:1:1: {says}"


@pytest.mark.parametrize(
    ("mode", "says"),
    [(0o604, "everybody may read this secret"), (0o620, "its group may write it"), (0o600, ""), (0o640, "")],
)
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int, says: str) -> None:
    write(tmp_path / "secrets/url", "https://robot.example.cn/?key=hunter2").chmod(mode)
    path = write(tmp_path / "failover.yaml", good(channels={"r": {"kind": "webhook", "url_file": "secrets/url"}}))
    if says:
        (problem,) = refused(path)
        assert "channels.r.url_file: " in problem
        assert says in problem
        assert "hunter2" not in problem
    else:
        assert "hunter2" not in repr(load(path))


def test_a_secret_that_is_not_there_yet_is_a_warning(tmp_path: Path) -> None:
    config = loaded(tmp_path, channels={"r": {"kind": "webhook", "url_file": "secrets/url"}})
    (warning,) = config.warnings
    assert f"channels.r.url_file: there is no file {tmp_path}/secrets/url" in warning


def test_a_key_that_others_may_use_is_refused(tmp_path: Path) -> None:
    key = write(tmp_path / "keys/web", "PRIVATE")
    write(tmp_path / "keys/web.pub", "PUBLIC").chmod(0o644)
    path = write(tmp_path / "failover.yaml", good(store={"keys": f"{tmp_path}/keys"}))
    assert load(path).sites
    key.chmod(0o644)
    (problem,) = refused(path)
    assert "store.keys: " in problem
    assert "others may use this key (mode 0644)" in problem


# many -----------------------------------------------------------------------------------------------------------


def test_a_thousand_checks_are_all_read(tmp_path: Path) -> None:
    many = {f"page-{n}": {"kind": "http", "url": f"http://10.77.0.100/{n}", "every": "5s"} for n in range(1000)}
    path = write(tmp_path / "failover.yaml", good(checks={**GOOD["checks"], **many}))
    assert len(load(path).sites[0].checks) == len(GOOD["checks"]) + 1000


def test_a_thousand_wrong_checks_are_all_named(tmp_path: Path) -> None:
    many = {f"page-{n}": {"kind": "http", "url": f"http://10.77.0.100/{n}", "evry": "5s"} for n in range(1000)}
    path = write(tmp_path / "failover.yaml", good(checks={**GOOD["checks"], **many}))
    problems = refused(path)
    assert len(problems) == 1000
    assert all(problem.endswith("unknown key 'evry'; did you mean 'every'?") for problem in problems)


# asking it ------------------------------------------------------------------------------------------------------


def test_a_site_is_had_by_name_and_the_only_one_without(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    assert config.site() is config.site("bureau") is config.sites[0]
    with pytest.raises(LookupError, match="there is no site 'burau'; there is bureau"):
        config.site("burau")


def test_witnesses_may_have_names_of_their_own(tmp_path: Path) -> None:
    config = loaded(tmp_path, witnesses={"gateway": {"kind": "ping", "address": "10.77.0.1"}})
    assert list(config.sites[0].named_witnesses) == ["gateway"]


def test_a_run_that_ends_without_a_look_is_a_warning(tmp_path: Path) -> None:
    plan = {**GOOD["plans"]["web"], "steps": GOOD["plans"]["web"]["steps"][:-1]}
    (warning,) = loaded(tmp_path, plans={"web": plan}).warnings
    assert "plans.web.steps: the last step isn't 'answers'" in warning


def test_a_standby_that_no_check_looks_at_is_a_warning(tmp_path: Path) -> None:
    checks = {name: check for name, check in GOOD["checks"].items() if name != "standby"}
    (warning,) = loaded(tmp_path, checks=checks).warnings
    assert "roles.web.standby: no check looks at web-backup" in warning


def test_pinned_host_keys_that_others_may_write_are_refused(tmp_path: Path) -> None:
    pins = write(tmp_path / "known_hosts", "")
    path = write(tmp_path / "failover.yaml", good(store={"keys": "/nowhere", "known_hosts": str(pins)}))
    assert load(path).sites
    pins.chmod(0o646)
    (problem,) = refused(path)
    assert "store.known_hosts: " in problem
    assert "everybody may write it (mode 0646)" in problem
