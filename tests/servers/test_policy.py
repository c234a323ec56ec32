"""What enrolling wants, as plain data: the policy file, the sudoers file, the lines that let keys in."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from failover.servers.access import PROGRAM, AccessError, read_report, whole_program
from failover.servers.enroll_plan import HELPER, authorized_key, sudoers_forms
from failover.servers.helper.core import Policy as HelpersPolicy
from failover.servers.pins import HostKey
from failover.servers.policy import Policy, PolicyAddress, PolicyPath, PolicySource
from tests.servers.sshd import make_key

SOURCE = PolicySource("10.77.0.21", "ssh-ed25519 AAAA")


def full(**other: object) -> Policy:
    given: dict[str, object] = {
        "site": "厦门", "server": "web",
        "addresses": (PolicyAddress("www", "10.77.0.100", "eth0", 24), PolicyAddress("six", "fd77::100", "eth0")),
        "units": ("nginx.service", "failover-guard.service"),
        "paths": (PolicyPath("/srv/site", "www-data", "www-data"),),
        "serve": ("/srv/site",), "sources": {"wcm": SOURCE}, "see": ("10.77.0.0/24", "fd77::/64"),
        "commands": {"flush": ("/usr/bin/flush", "--all")},
    }  # fmt: skip
    return Policy(**(given | other))  # type: ignore[arg-type]


def test_the_helper_understands_the_policy_and_both_name_it_by_the_same_hash() -> None:
    policy = full()
    theirs = HelpersPolicy(policy.text().encode())
    assert theirs.sha256 == policy.sha256
    assert set(theirs.addresses) == {"10.77.0.100", "fd77::100"}
    assert theirs.units == {"nginx.service", "failover-guard.service"}
    assert set(theirs.paths) == {"/srv/site"}
    assert theirs.site == "厦门"


def test_the_same_data_in_another_order_give_the_same_bytes() -> None:
    one = full()
    other = full(
        addresses=tuple(reversed(one.addresses)), units=("failover-guard.service", "nginx.service"),
        see=("fd77::/64", "10.77.0.0/24"),
    )  # fmt: skip
    assert one.text() == other.text()
    assert json.loads(one.text())["sources"]["wcm"]["ssh"] == "10.77.0.21"
    assert full(units=("nginx.service",)).sha256 != one.sha256


@pytest.mark.parametrize(
    "wrong",
    [
        {"paths": (PolicyPath("/"),)}, {"paths": (PolicyPath("srv"),)}, {"paths": (PolicyPath("/srv/../etc"),)},
        {"paths": (PolicyPath("/srv//x"),)}, {"paths": (PolicyPath("/srv/"),)}, {"serve": ("/srv/.",)},
        {"see": ("10.77.0.1/24",)}, {"see": ("everywhere",)}, {"units": ("a b",)}, {"units": ("-x",)},
        {"addresses": (PolicyAddress("www", "10.77.0.300", "eth0"),)}, {"commands": {"sh": ("sh",)}},
        {"commands": {"none": ()}},
    ],
)  # fmt: skip
def test_nothing_vague_gets_into_a_policy(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        full(**wrong)


def test_a_key_line_lets_one_key_do_one_thing_from_some_addresses(tmp_path: Path) -> None:
    public = make_key(tmp_path / "key").with_suffix(".pub").read_text()
    line = authorized_key(["10.77.0.10", "fd77::/64"], "sudo -n /x", public)
    key = str(HostKey.parse(public))
    assert line == f'restrict,from="10.77.0.10,fd77::/64",command="sudo -n /x" {key} key\n'


@pytest.mark.parametrize("addresses", [[], ["*"], ['10.0.0.1",command="sh'], ["10.0.0.1 "], ["web"], ["!10.0.0.1"]])
def test_a_key_line_that_would_let_in_more_is_refused(addresses: list[str], tmp_path: Path) -> None:
    public = make_key(tmp_path / "key").with_suffix(".pub").read_text()
    with pytest.raises(ValueError, match="from= needs plain addresses"):
        authorized_key(addresses, "true", public)


def test_a_public_key_that_brings_options_or_lines_along_is_refused(tmp_path: Path) -> None:
    public = make_key(tmp_path / "key").with_suffix(".pub").read_text().strip()
    two_lines = authorized_key(["10.0.0.1"], "true", f"{public}\nssh-ed25519 AAAA evil")
    assert two_lines.count("\n") == 1
    with pytest.raises(ValueError, match="is not a public key"):
        authorized_key(["10.0.0.1"], "true", f'command="sh" {public}')


@pytest.mark.skipif(not shutil.which("visudo"), reason="needs visudo (apt-get install sudo)")
@pytest.mark.parametrize("form", [0, 1, 2])
def test_sudo_understands_every_form_and_no_form_has_a_wildcard(form: int, tmp_path: Path) -> None:
    text = sudoers_forms("failover", "ab" * 32)[form]
    file = tmp_path / "sudoers"
    file.write_text(text)
    done = subprocess.run(["visudo", "-c", "-q", "-f", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    rule = next(line for line in text.splitlines() if line.startswith("failover "))
    assert rule.endswith(f'{HELPER} ""')
    assert not set("*?[]!") & set(rule)


def test_the_program_for_the_servers_is_plain_old_python_in_one_piece() -> None:
    for path in PROGRAM:
        ast.parse(path.read_text(), feature_version=(3, 6))
    whole = whole_program({"mode": "check", "items": [{"text": 'it\'s "so"\n厦门'}]}).decode()
    ast.parse(whole, feature_version=(3, 6))
    assert "failover.servers" not in [
        line.split()[1] for line in whole.splitlines() if line.startswith(("from ", "import "))
    ]
    with pytest.raises(SyntaxError):
        ast.parse("if x := 1: pass\n", feature_version=(3, 6))


def test_a_report_is_found_among_other_words_and_garbage_is_none() -> None:
    assert read_report("web", 'motd\n\nfailover-report {"drift": []}\n', "") == {"drift": []}
    for out in ("", "failover-report {", "failover-report []", "x failover-report {}"):
        with pytest.raises(AccessError):
            read_report("web", out, "ssh ended with exit code 255: Permission denied")
