"""What the config may say of a probe, and what it's told when it says something else."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

import failover.probes
from failover.probes import AnyProbe, Probe
from failover.probes.http import HttpProbe

ADAPTER: TypeAdapter[Any] = TypeAdapter(AnyProbe)
KINDS = ["address", "backup", "database", "host", "http", "local", "ping", "ssh", "tcp", "tls"]


def test_every_kind_is_in_the_union_once() -> None:
    classes = get_args(get_args(AnyProbe)[0])
    assert sorted(each.model_fields["kind"].default for each in classes) == KINDS
    assert all(issubclass(each, Probe) for each in classes)


@pytest.mark.parametrize(
    "written",
    [
        {"kind": "http", "url": "http://10.77.0.100/", "expect": {"status": 200, "contains": "统计"}, "every": "1s"},
        {"kind": "http", "role": "wcm", "url": "http://{holder}:8000/health", "every": "2s"},
        {"kind": "http", "url": "https://www.example.cn/", "connect": "10.77.0.100", "tls_trouble": "down"},
        {"kind": "tls", "address": "www.example.cn", "warn_before": "30d"},
        {"kind": "tcp", "server": "db", "port": 5432},
        {"kind": "database", "role": "database", "engine": "mariadb", "every": "2s"},
        {"kind": "backup", "set": "wcm-db"},
        {"kind": "ping", "address": "10.77.0.1"},
        {"kind": "ssh", "server": "web"},
        {"kind": "host", "server": "db", "services": ["postgresql"]},
        {"kind": "address", "address": "www"},
        {"kind": "local"},
    ],
)
def test_a_check_can_be_written_down_and_read_back(written: dict[str, Any]) -> None:
    probe = ADAPTER.validate_python(written)
    again = ADAPTER.validate_json(ADAPTER.dump_json(probe))
    assert again == probe
    assert hash(type(again)) == hash(type(probe))


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (
            {"kind": "htpp"},
            "does not match any of the expected tags: 'address', 'backup', 'database', 'host', 'http', 'local'",
        ),
        ({"kind": "http", "url": "10.77.0.100"}, "'10.77.0.100' is no web address; write it as http://10.77.0.100/"),
        ({"kind": "http", "url": "ftp://10.77.0.100/"}, "is no web address"),
        ({"kind": "http", "url": "http://a:b@10.77.0.100/"}, "a user name or password in a URL ends up in logs"),
        ({"kind": "http", "url": "http://{holder}/"}, "speaks of {holder}, so the check needs a role"),
        ({"kind": "http", "url": "http://{server}/"}, "speaks of {server}, so the check needs a server"),
        ({"kind": "http", "url": "http://{standby}/"}, "{standby} in 'http://{standby}/' means nothing"),
        ({"kind": "http", "url": "http://a/", "connect": "b"}, "'b' is not an IP address"),
        ({"kind": "http", "url": "http://a/", "headers": {"Authorization": "x"}}, "secrets don't belong here"),
        ({"kind": "http", "url": "http://a/", "headers": {"A": "b\r\nX: y"}}, "may only hold printable ASCII"),
        ({"kind": "http", "url": "http://a/", "headers": {"A b": "c"}}, "'A b' is no header name"),
        ({"kind": "http", "url": "http://a/", "headers": {"Connection": "c"}}, "is the probe's own to set"),
        ({"kind": "http", "url": "http://a/", "expect": {"status": 99}}, "99 is no HTTP status"),
        ({"kind": "http", "url": "http://a/", "expect": {"status": "2XX"}}, "'2XX' is no HTTP status"),
        ({"kind": "http", "url": "http://a/", "expect": {"status": []}}, "at least 1 item"),
        ({"kind": "http", "url": "http://a/", "expect": {"contains": ""}}, "at least 1 character"),
        (
            {"kind": "http", "url": "http://a/", "expect": {"contains": "a", "not_contains": "a"}},
            "'a' stands in both contains and not_contains",
        ),
        ({"kind": "http", "url": "http://a/", "method": "HEAD", "expect": {"contains": "a"}}, "HEAD brings no page"),
        ({"kind": "http", "url": "http://a/", "ca_file": "x", "verify": False}, "ca_file means nothing with verify"),
        ({"kind": "http", "url": "http://a/", "every": 5}, "5 is not a span of time; write it with a unit"),
        ({"kind": "http", "url": "http://a/", "every": "0s"}, "greater than 0"),
        ({"kind": "http", "url": "http://a/", "evry": "5s"}, "Extra inputs are not permitted"),
        ({"kind": "ping"}, "it has nothing to look at; give it an address, a server or a role"),
        ({"kind": "tcp", "address": "a", "port": 80, "send": "x"}, "it sends something and expects nothing"),
        ({"kind": "tcp", "address": "{holder}", "port": 80}, "speaks of {holder}, so the check needs a role"),
        ({"kind": "ssh", "server": "web", "every": "1s"}, "greater than or equal to 2"),
        ({"kind": "local", "fails_over": True}, "Input should be False"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence(written: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ADAPTER.validate_python(written)
    assert sentence in str(caught.value)


def test_json_in_texts_is_no_placeholder() -> None:
    probe = HttpProbe.model_validate({"url": "http://a/", "expect": {"contains": '{"status": "ok"}'}})
    assert probe.expect.contains == ('{"status": "ok"}',)


def test_every_setting_is_described() -> None:
    for each in get_args(get_args(AnyProbe)[0]):
        undescribed = [
            name
            for name, setting in each.model_fields.items()
            if not setting.description and name not in ("kind", "port", "expect", "method")
        ]
        assert undescribed == [], each
        assert each.__doc__


def test_httpx_is_imported_in_one_module() -> None:
    folder = Path(failover.probes.__file__).parent
    importers = {
        path.name
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(each.name.startswith("httpx") for each in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("httpx"))
    }
    assert importers == {"http_transport.py"}
