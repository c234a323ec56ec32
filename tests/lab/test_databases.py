"""The bureau's databases, on both engines: the writer knows the fate of each marker; rights are enough, no more."""

import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab, LabError, LabTimeout
from tests.lab.databases import ask, databases, engine, markers, markers_by_database
from tests.lab.fixtures import needs_lab, watched
from tests.lab.wcm import ENGINES
from tests.lab.writer import Writer

pytestmark = pytest.mark.lab
HOSTS = ("monitor", "client", "wcm", "wcm-backup", "db", "db-backup")

#: Copies the database to its backup server as the plain user `failover`, and puts it in place by renaming.
RESTORE = {
    "postgresql": """
        umask 077; echo "*:*:*:*:$(cat /etc/failover-helper/db-password)" > /run/pass; export PGPASSFILE=/run/pass
        here="-h 127.0.0.1 -U failover" new=wcm__20261124t020000
        pg_dump -h 10.77.0.31 -U failover -Fc -f /run/wcm.dump wcm
        createdb $here -O wcm $new
        pg_restore $here --exit-on-error --no-owner --role=wcm -d $new /run/wcm.dump
        psql $here -qv ON_ERROR_STOP=1 -d postgres -c "alter database $new rename to wcm"
    """,
    "mariadb": """
        umask 077; new=wcm__20261124t020000
        printf '[client]\nuser=failover\npassword=%s\n' "$(cat /etc/failover-helper/db-password)" > /run/pass
        sql() { mariadb --defaults-extra-file=/run/pass -h 127.0.0.1 --batch --skip-column-names "$@"; }
        mariadb-dump --defaults-extra-file=/run/pass -h 10.77.0.31 --single-transaction --routines --triggers \
            --events wcm > /run/wcm.dump
        sql -e "create database $new; create database wcm"
        sql $new < /run/wcm.dump
        tables=$(sql -e "select group_concat(concat('$new.', table_name, ' to wcm.', table_name))
            from information_schema.tables where table_schema = '$new'")
        sql -e "set foreign_key_checks = 0; rename table $tables; drop database $new"
    """,
}


@pytest.fixture(scope="module", params=ENGINES)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    needs_lab()
    with Lab(HOSTS, wcm=request.param) as lab:
        watched.add(lab)
        yield lab
        watched.discard(lab)


def point_at(lab: Lab, host: str) -> None:
    """Have the WCM use the database of this host."""
    lab.wcm.run(
        f"sed -i 's/^DATABASE_HOST=.*/DATABASE_HOST={lab[host].ip}/' /etc/wcm/database.env; systemctl restart wcm"
    )


def test_the_database_is_on_one_server_and_the_other_is_ready_for_it(lab: Lab) -> None:
    assert databases(lab, lab.db) == ["wcm"]
    assert databases(lab, lab.db_backup) == []
    assert ask(lab, lab.db, "select count(*) from bureau_bulletinpage", "wcm") == [["20"]]
    assert ask(lab, lab.db, "select title from wagtailcore_page where slug = '6'", "wcm") == [
        ["2019年厦门市国民经济和社会发展统计公报"]
    ]


def test_each_server_is_one_of_its_own(lab: Lab) -> None:
    if engine(lab) == "postgresql":
        identities = [
            ask(lab, host, "select system_identifier from pg_control_system()") for host in (lab.db, lab.db_backup)
        ]
        assert identities[0] != identities[1]


def test_the_wcms_user_is_let_in_from_the_wcms_and_from_nowhere_else(lab: Lab) -> None:
    lab.wcm.run("cp /etc/wcm/database-password /run/password")
    password = lab.wcm.read("/run/password")
    for name, may in (("wcm", True), ("wcm-backup", True), ("monitor", False), ("db-backup", False)):
        if engine(lab) == "postgresql":
            command = "PGPASSWORD=$(cat) PGCONNECT_TIMEOUT=5 psql -w -h 10.77.0.31 -U wcm -Atc 'select 1' wcm"
        else:
            command = "MYSQL_PWD=$(cat) mariadb --connect-timeout=5 -h 10.77.0.31 -u wcm -Ne 'select 1' wcm"
        done = lab[name].run(command, stdin=password, check=False)
        assert (done.code == 0, done.out) == (may, "1\n" if may else ""), f"{name}: {done.err}"
    assert lab.wcm.run(command, stdin="wrong", check=False).code != 0


def test_an_accepted_marker_is_in_the_database_that_the_writer_was_told(lab: Lab) -> None:
    with Writer(lab, every=0.5) as writer:
        writer.await_accepted(3, within=20)
    accepted = writer.accepted
    assert {(one.by, one.host, one.database) for one in accepted} == {("wcm", "db", "wcm")}
    found = markers_by_database(lab)
    assert set(found) == {("db", "wcm")}
    written = [marker for marker in found["db", "wcm"] if marker.startswith(accepted[0].marker.partition("-")[0])]
    assert written[: len(accepted)] == [one.marker for one in accepted]
    assert writer.missing(lab.db) == []


def test_a_marker_that_is_lost_is_noticed(lab: Lab) -> None:
    with Writer(lab, every=0.5) as writer:
        writer.await_accepted(3, within=20)
    lost = writer.accepted[1].marker
    ask(lab, lab.db, f"delete from bureau_marker where text = '{lost}'", "wcm")  # noqa: S608 - ours
    assert [one.marker for one in writer.missing(lab.db)] == [lost]


def test_without_a_wcm_markers_are_refused_with_the_reason_and_the_next_wcm_takes_them(lab: Lab) -> None:
    with Writer(lab, every=0.5) as writer:
        writer.await_accepted(1, within=20, by="wcm")
        lab.wcm.run("systemctl stop wcm")
        time.sleep(1.5)
        refused = writer.publications[-1]
        lab.wcm_backup.run("systemctl start wcm")
        try:
            taken = writer.await_accepted(2, within=20, by="wcm-backup")
        finally:
            lab.wcm_backup.run("systemctl stop wcm")
            lab.wcm.run("systemctl start wcm")
    assert refused.outcome in ("refused", "unknown")
    assert "10.77.0.21: ConnectionRefusedError" in refused.reason
    assert {one.host for one in taken} == {"db"}
    assert writer.missing(lab.db) == []


def test_nothing_is_accepted_while_the_database_is_stopped(lab: Lab) -> None:
    service = "postgresql" if engine(lab) == "postgresql" else "mariadb"
    with Writer(lab, every=0.3) as writer:
        writer.await_accepted(1, within=20)
        lab.db.run(f"systemctl stop {service} '{service}@*'")
        try:
            with pytest.raises(LabTimeout, match=r"0 of 1 markers accepted within 4 s; the last:\n.*the WCM answered"):
                writer.await_accepted(1, within=2)
        finally:
            lab.db.run(f"systemctl start {service}")
        writer.await_accepted(1, within=20)
    assert writer.missing(lab.db) == []


def test_the_rights_of_failover_are_enough_to_move_the_database_and_the_writer_tells_where_it_writes(lab: Lab) -> None:
    with Writer(lab, every=0.5) as writer:
        writer.await_accepted(2, within=20, into="db")
        lab.db_backup.run(["sh", "-ec", RESTORE[engine(lab)]], timeout=60)
        late = writer.await_accepted(1, within=20, into="db")
        point_at(lab, "db-backup")
        try:
            moved = writer.await_accepted(2, within=30, into="db-backup")
        finally:
            point_at(lab, "db")
    lost = {one.marker for one in writer.accepted if one.host == "db"} - set(markers(lab, lab.db_backup))
    assert {one.marker for one in late} <= lost, "the copy was older"
    assert {one.marker for one in writer.missing(lab.db_backup)} >= lost
    assert not {one.marker for one in moved} & set(markers(lab, lab.db)), "nobody writes to the old one"
    assert {one.marker for one in moved} <= set(markers_by_database(lab)["db-backup", "wcm"])


def test_a_lab_without_a_wcm_says_that_it_has_no_databases(lab: Lab) -> None:
    with pytest.raises(LabError, match="this lab has no WCM"):
        engine(Lab(["db"]))
    with pytest.raises(LabError, match="no WCM on 'oracle' in the lab: there are postgresql and mariadb"):
        Lab(["db"], wcm="oracle").up()
