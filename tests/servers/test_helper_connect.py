"""The verb ``connect``: a few bytes of a file are replaced, and everything else of it stays as it was."""

from __future__ import annotations

import configparser
import hashlib
import os
import struct
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.servers.helper_fixtures import pythons, small_disk
from tests.servers.speak import Home, Speaker, kind

ENV = (
    b"# the database of the WCM; DATABASE_HOST=commented\r\n"
    b"export DATABASE_HOST='10.77.0.31' # was: 10.77.0.30\r\n"
    b"DATABASE_PORT=5432\r\n"
    b'GREETING="two\r\nDATABASE_HOST=not this\r\nlines"\r\n'
    b"DATABASE_URL=postgres://wcm:s3cret@10.77.0.31:5432/wcm?sslmode=require\r\n"
    b"DATABASE_PASSWORD=s3cret"
)
PROPERTIES = (
    b"! Tomcat's\n"
    b"jdbc.url = jdbc\\:postgresql\\://10.77.0.31\\:5432/wcm?ssl=true&x=1\n"
    b"  jdbc.user:wcm\n"
    b"site.name=\\u7edf\\u8ba1 \\\n    jdbc.user=not this\n"
    b"jdbc.host 10.77.0.31 \n"
)
INI = (
    b"\xef\xbb\xbf[client]\nhost = elsewhere\n\n[Database]\n; host = commented\n"
    b'\tHost : "10.77.0.31" ; the old one\nport=5432   # as ever\n[logging]\nlevel = info\n'
)
PHP = (
    "<h1>define('DB_HOST', 'page');</h1>\n<?php\n# define('DB_HOST', 'comment');\n/* define( 'DB_HOST', 'x' ); */\n"
    "$help = \"define('DB_HOST', 'string');\";\n$more = <<<END\ndefine('DB_HOST', 'here');\nEND;\n"
    "define( 'DB_HOST' , '10.77.0.31' ); // 统计\nconst DB_PORT = 5432;\ndefine(\"DB_NAME\", \"wcm\", true);\n"
).encode()
TEMPLATE = b"database:\n  host: @HOST@\n  replica: @HOST@\n  port: @PORT@ # {{ kept }}\n"
CASES: dict[str, tuple[str, bytes, dict[str, str], dict[str, str], Callable[[bytes], bytes]]] = {
    "env": (
        "env", ENV, {"DATABASE_HOST": "10.77.0.31", "DATABASE_PORT": "5432"},
        {"DATABASE_HOST": "10.77.0.32", "DATABASE_PORT": "5433"},
        lambda old: old.replace(b"'10.77.0.31'", b"'10.77.0.32'").replace(b"=5432\r", b"=5433\r"),
    ),
    "a URL in env": (
        "env", ENV,
        {"DATABASE_URL": "postgres://wcm:***@10.77.0.31:5432/wcm?sslmode=require",
         "DATABASE_URL#host": "10.77.0.31", "DATABASE_URL#port": "5432", "DATABASE_URL#database": "wcm"},
        {"DATABASE_URL#host": "fd77::32", "DATABASE_URL#port": "6432"},
        lambda old: old.replace(b"@10.77.0.31:5432", b"@[fd77::32]:6432"),
    ),
    "properties": (
        "properties", PROPERTIES, {"jdbc.url#host": "10.77.0.31", "jdbc.url#database": "wcm", "jdbc.user": "wcm"},
        {"jdbc.url#host": "db-backup", "jdbc.url#database": "wcm2", "jdbc.user": "统计"},
        lambda old: old.replace(b"//10.77.0.31\\:5432/wcm?", b"//db-backup\\:5432/wcm2?").replace(
            b"jdbc.user:wcm", b"jdbc.user:\\u7edf\\u8ba1"
        ),
    ),
    "properties without a sign": (
        "properties", PROPERTIES, {"jdbc.host": "10.77.0.31 "}, {"jdbc.host": "db"},
        lambda old: old.replace(b"jdbc.host 10.77.0.31 \n", b"jdbc.host db\n"),
    ),
    "ini": (
        "ini", INI, {"database.host": "10.77.0.31", "database.port": "5432"},
        {"database.host": "10.77.0.32", "database.port": "5433"},
        lambda old: old.replace(b'"10.77.0.31"', b'"10.77.0.32"').replace(b"=5432  ", b"=5433  "),
    ),
    "php": (
        "php", PHP, {"DB_HOST": "10.77.0.31", "DB_PORT": "5432", "DB_NAME": "wcm"},
        {"DB_HOST": "10.77.0.32", "DB_PORT": "5433", "DB_NAME": "wcm2"},
        lambda old: old.replace(b"'10.77.0.31'", b"'10.77.0.32'").replace(b"= 5432", b"= 5433").replace(
            b'"wcm"', b'"wcm2"'
        ),
    ),
    "template": (
        "template", TEMPLATE.replace(b"@HOST@", b"10.77.0.31").replace(b"@PORT@", b"5432"),
        {"HOST": "10.77.0.31", "PORT": "5432"}, {"HOST": "10.77.0.32"},
        lambda old: old.replace(b"10.77.0.31", b"10.77.0.32"),
    ),
}  # fmt: skip

ACL = struct.Struct("<HHI")
"""Tag, rights and id of an entry of an access control list: acl(5), and the kernel's posix_acl_xattr.h."""


class Connected:
    """A file of the WCM's, and the helper that may edit it."""

    def __init__(self, home: Home, speaker: Speaker, file: Path) -> None:
        self.home, self.speaker, self.file = home, speaker, file

    def write(self, data: bytes, kind: str, keys: Mapping[str, str] | list[str], **more: Any) -> None:
        self.file.write_bytes(data)
        self.file.chmod(0o640)
        entry = {"file": str(self.file), "format": kind, "keys": list(keys), **more}
        self.home.write_policy(connect=[entry])

    def ask(self) -> dict[str, Any]:
        return self.speaker.ask("connect", file=str(self.file))

    def set(self, run: int = 12, /, **values: str) -> dict[str, Any]:
        return self.speaker.change("connect", {"file": str(self.file), "run": run, "set": values})

    def restore(self, run: int = 12) -> dict[str, Any]:
        return self.speaker.change("connect", {"file": str(self.file), "run": run, "want": "restored"})


@pytest.fixture
def made(home: Home, speak: Any, tmp_path: Path) -> Connected:
    folder = tmp_path / "etc-wcm"
    folder.mkdir()
    return Connected(home, speak(home), folder.resolve() / "database.env")


@pytest.mark.parametrize("python", pythons())
@pytest.mark.parametrize("case", CASES)
def test_only_the_values_change_and_they_come_back(
    home: Home, speak: Any, tmp_path: Path, case: str, python: str
) -> None:
    kind, old, values, wanted, expect = CASES[case]
    folder = tmp_path / "etc"
    folder.mkdir()
    made = Connected(home, speak(home, python=python), folder.resolve() / "settings")
    template = {"template": str(folder.resolve() / "settings.template")} if kind == "template" else {}
    (folder / "settings.template").write_bytes(TEMPLATE)
    made.write(old, kind, values, **template)
    asked = made.ask()["result"]
    assert asked["values"] == values
    assert asked["sha256"] == hashlib.sha256(old).hexdigest()
    done = made.set(**wanted)["result"]
    assert made.file.read_bytes() == expect(old) != old
    assert {key: done["after"][key] for key in wanted} == wanted
    assert done["kept"] == [f"{made.file}.before-12"]
    assert Path(done["kept"][0]).read_bytes() == old
    assert made.ask()["result"]["values"] == done["after"]
    again = made.set(**wanted)["result"]
    assert not again["changed"]
    back = made.restore()["result"]
    assert made.file.read_bytes() == old
    assert back["after"] == values
    assert not made.restore()["result"]["changed"], "doing it twice changes nothing"


def test_secrets_are_neither_said_nor_set(made: Connected) -> None:
    made.write(ENV, "env", ["DATABASE_PASSWORD", "DATABASE_URL"])
    said = made.ask()
    assert said["result"]["values"]["DATABASE_PASSWORD"] == "***"
    assert "s3cret" not in str(said)
    assert kind(made.set(DATABASE_PASSWORD="other")) == ("secret", False)
    made.write(ENV, "env", ["DATABASE_URL#host"])
    assert "s3cret" not in str(made.set(**{"DATABASE_URL#host": "db-backup"}))
    assert b"wcm:s3cret@db-backup:5432" in made.file.read_bytes()


def test_owner_mode_attributes_and_lists_of_rights_stay(made: Connected) -> None:
    made.write(b"DATABASE_HOST=db\n", "env", ["DATABASE_HOST"])
    os.chown(made.file, 1234, 5678)
    made.file.chmod(0o460)
    os.setxattr(made.file, "user.note", b"kept")
    rights = [(1, 4, 0xFFFFFFFF), (2, 4, 4321), (4, 6, 0xFFFFFFFF), (16, 6, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)]
    os.setxattr(made.file, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(ACL.pack(*one) for one in rights))
    more = {key: os.getxattr(made.file, key) for key in os.listxattr(made.file)}
    assert set(more) >= {"user.note", "system.posix_acl_access"}
    before = made.file.stat()
    assert "result" in made.set(DATABASE_HOST="db-backup")
    for path in (made.file, Path(f"{made.file}.before-12")):
        after = path.stat()
        assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
        assert {key: os.getxattr(path, key) for key in os.listxattr(path)} == more
    assert sorted(path.name for path in made.file.parent.iterdir()) == ["database.env", "database.env.before-12"]


def test_what_others_wrote_after_the_edit_stays_when_it_is_taken_back(made: Connected) -> None:
    made.write(b"A=1\nDATABASE_HOST=db\n", "env", ["DATABASE_HOST"])
    made.set(DATABASE_HOST="db-backup")
    made.file.write_bytes(made.file.read_bytes().replace(b"A=1", b"A=2") + b"B=3\n")
    made.restore()
    assert made.file.read_bytes() == b"A=2\nDATABASE_HOST=db\nB=3\n"


def test_the_file_of_before_is_the_one_of_before_the_runs_first_edit(made: Connected) -> None:
    made.write(b"DATABASE_HOST=db\n", "env", ["DATABASE_HOST"])
    made.set(DATABASE_HOST="one")
    made.set(DATABASE_HOST="two")
    assert Path(f"{made.file}.before-12").read_bytes() == b"DATABASE_HOST=db\n"
    assert made.restore()["result"]["after"] == {"DATABASE_HOST": "db"}
    assert kind(made.restore(run=13)) == ("no-such-file", False)
    for run in range(20, 40):
        made.set(run, DATABASE_HOST=f"db-{run}")
    kept = made.ask()["result"]["kept"]
    assert [path.rpartition("-")[2] for path in kept] == [str(run) for run in range(30, 40)]


@pytest.mark.parametrize(
    ("data", "form", "key", "expected", "words"),
    [
        (b"HOST=a\nexport HOST=b\n", "env", "HOST", "key-twice", "lines 1, 2"),
        (b"PORT=1\n", "env", "HOST", "no-such-key", "never added to"),
        (b"HOST=$OTHER\n", "env", "HOST", "no-plain-value", "put together from other values"),
        (b"HOST='a'b\n", "env", "HOST", "no-plain-value", "several parts"),
        (b'HOST="a\nb"\n', "env", "HOST", "no-plain-value", "several lines"),
        (b"HOST=a\\\nb\n", "env", "HOST", "no-plain-value", "several lines"),
        (b"HOST='a\n", "env", "HOST", "no-plain-value", "aren't closed"),
        (b"HOST=a; PORT=b\n", "env", "HOST", "no-plain-value", "more stands on its line"),
        (b"[d]\nhost=a\nHOST=b\n", "ini", "d.host", "key-twice", "lines 2, 3"),
        (b"[d]\nhost=a\n  b\n", "ini", "d.host", "no-plain-value", "several lines"),
        (b"url=a\\\n b\n", "properties", "url", "no-plain-value", "several lines"),
        (b"url=a\nurl:b\n", "properties", "url", "key-twice", "2 times"),
        (b"<?php define('H', getenv('H'));", "php", "H", "no-plain-value", "something to be computed"),
        (b"<?php define('H', 'a' . 'b');", "php", "H", "no-plain-value", "several parts"),
        (b"<?php define('H', 'a'); define('H', 'b');", "php", "H", "key-twice", "2 times"),
        (b"HOST=notaurl\n", "env", "HOST#host", "no-plain-value", "no URL"),
        (b"HOST=jdbc:postgresql://a,b:5432/wcm\n", "env", "HOST#host", "no-plain-value", "one database server"),
    ],
)
def test_what_cant_be_replaced_for_certain_is_left_alone(
    made: Connected, data: bytes, form: str, key: str, expected: str, words: str
) -> None:
    made.write(data, form, [key])
    for reply in (made.ask(), made.set(**{key: "db-backup"})):
        assert kind(reply) == (expected, False)
        assert words in reply["error"]["message"]
    assert made.file.read_bytes() == data


@pytest.mark.parametrize(
    ("data", "form", "value"),
    [
        (b"HOST=a\n", "env", "b c"), (b"HOST=a\n", "env", "b;rm"), (b"HOST='a'\n", "env", "b'c"),
        (b'HOST="a"\n', "env", "b$c"), (b'HOST="a"\n', "env", "b\\"), (b"[d]\nHOST=a\n", "ini", "b;c"),
        (b"<?php define('HOST','a');", "php", "b'); system('x"), (b"<?php define('HOST',5);", "php", "system('x')"),
    ],
)  # fmt: skip
def test_no_value_breaks_out_of_its_place(made: Connected, data: bytes, form: str, value: str) -> None:
    key = "d.host" if form == "ini" else "HOST"
    made.write(data, form, [key])
    assert kind(made.set(**{key: value})) == ("no-plain-value", False)
    assert made.file.read_bytes() == data


def test_files_out_of_place_are_left_alone(made: Connected) -> None:
    made.write(b"HOST=a\n", "env", ["HOST"])
    real = made.file.with_name("real.env")
    made.file.rename(real)
    made.file.symlink_to(real)
    refused = made.set(HOST="b")
    assert kind(refused) == ("symlink", False)
    assert str(real) in refused["error"]["message"]
    made.file.unlink()
    os.link(real, made.file)
    assert kind(made.set(HOST="b")) == ("linked", False)
    made.file.unlink()
    os.mkfifo(made.file)
    assert kind(made.set(HOST="b")) == ("no-such-file", False)
    made.file.unlink()
    assert kind(made.ask()) == ("no-such-file", False)
    other = made.speaker.change("connect", {"file": "/etc/passwd", "run": 1, "set": {"root": "x"}})
    assert kind(other) == ("not-in-policy", False)
    assert real.read_bytes() == b"HOST=a\n"


def test_keys_that_the_policy_doesnt_name_are_left_alone(made: Connected) -> None:
    made.write(b"HOST=a\nDEBUG=no\n", "env", ["HOST"])
    refused = made.set(HOST="b", DEBUG="yes")
    assert kind(refused) == ("not-in-policy", False)
    assert made.file.read_bytes() == b"HOST=a\nDEBUG=no\n"
    assert made.ask()["result"]["values"] == {"HOST": "a"}


def test_a_template_that_doesnt_fit_its_file_is_said_and_then_written_anew(made: Connected) -> None:
    template = made.file.with_name("database.template")
    template.write_bytes(TEMPLATE)
    made.write(b"host: by hand\n", "template", ["HOST", "PORT"], template=str(template))
    assert kind(made.ask()) == ("template-differs", False)
    assert kind(made.set(HOST="b")) == ("no-such-key", False)
    done = made.set(HOST="b", PORT="5432")["result"]
    assert made.file.read_bytes() == TEMPLATE.replace(b"@HOST@", b"b").replace(b"@PORT@", b"5432")
    assert done["after"] == {"HOST": "b", "PORT": "5432"}
    assert kind(made.set(HOST="b: x\ny")) == ("bad-request", False)
    assert kind(made.set(HOST="b # c")) == ("no-plain-value", False)
    made.restore()
    assert made.file.read_bytes() == b"host: by hand\n"


def test_a_full_disk_leaves_the_old_file(made: Connected, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    small = tmp_path / "small"
    small.mkdir()
    with small_disk(small, "size=16k"):
        made.file = small.resolve() / "database.env"
        made.write(b"HOST=a\n" + b"# " + b"x" * 6000 + b"\n", "env", ["HOST"])
        (small / "filler").write_bytes(b"x" * 4096)
        old = made.file.read_bytes()
        assert kind(made.set(HOST="b")) == ("not-written", True)
        assert made.file.read_bytes() == old
        assert not [path for path in small.iterdir() if path.name.endswith("failover-new")]


def test_the_new_values_are_what_programs_of_the_format_read(made: Connected) -> None:
    made.write(ENV.replace(b"\r\n", b"\n") + b"\n", "env", ["DATABASE_HOST", "DATABASE_URL#host"])
    made.set(**{"DATABASE_HOST": "10.77.0.32", "DATABASE_URL#host": "10.77.0.32"})
    said = subprocess.run(
        ["sh", "-c", '. "$0"; echo "$DATABASE_HOST $DATABASE_URL"', made.file],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "10.77.0.32 postgres://wcm:s3cret@10.77.0.32:5432/wcm?sslmode=require\n"
    made.write(INI, "ini", ["database.host"])
    made.set(13, **{"database.host": "10.77.0.32"})
    reader = configparser.ConfigParser(inline_comment_prefixes=(";", "#"))
    reader.read(made.file, encoding="utf-8-sig")
    assert reader["Database"]["host"] == '"10.77.0.32"'
    assert reader["client"]["host"] == "elsewhere"
