"""Dumps that order more than they may, given to a real MariaDB: nothing but the database to be filled is reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from failover.servers.helper.client import Client
from failover.servers.helper.core import Places, Work, boottime
from failover.servers.helper.mariadb_restore import MariaDB as Engine
from failover.servers.helper.mariadb_rights import Rights
from failover.servers.helper.policy import Policy
from tests.servers.databases import day
from tests.servers.databases_mariadb import INTO, MariaDB, nothing_left, restored
from tests.servers.speak import error

OTHER = "wcm__20261123t020000"

ORDERS = {
    "use": "USE `mysql`;",
    "use one that served": "USE wcm__old_20261123t020000;",
    "drop database": "DROP DATABASE wcm;",
    "make an account": "CREATE USER evil@'%' IDENTIFIED BY 'x';",
    "grant": "GRANT ALL ON wcm.* TO wcm@localhost;",
    "read a file": "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE log (what);",
    "server settings": "SET GLOBAL read_only = 1;",
    "server settings in a comment": "/*!50000 SET @@GLOBAL.read_only = 1 */;",
    "end the server": "SHUTDOWN;",
    "another database": "DELETE FROM wcm.image;",
    "another database in a comment": "/*!50000 DROP TABLE wcm.image */;",
    "another database, not at the start": "SELECT 1; /* here */ DELETE FROM wcm . image;",
    "another database after data": "INSERT INTO `log` (what) VALUES ('x'); DELETE FROM wcm.image;",
    "another database by a join": "UPDATE page, wcm.image SET wcm.image.page = NULL;",
    "another database as a string": "SET @x = CONCAT('DELETE FROM w', 'cm.image');\nPREPARE p FROM @x;\nEXECUTE p;",
    "another database by a procedure":
        "DELIMITER //\nCREATE PROCEDURE p() BEGIN DELETE FROM wcm.image; END//\nCALL p()//\nDELIMITER ;",
    "another database by a trigger":
        "CREATE TRIGGER t AFTER INSERT ON log FOR EACH ROW DELETE FROM wcm.image;\nINSERT INTO log (what) VALUES (1);",
    "another database by a view": "CREATE VIEW v AS SELECT * FROM wcm.image;\nDELETE FROM v;",
    "as somebody else":
        "/*!50003 CREATE*/ /*!50020 DEFINER=`root`@`localhost`*/ /*!50003 PROCEDURE p() DELETE FROM wcm.image */;\n"
        "CALL p();",
    "as somebody else, spelled otherwise":
        "CREATE definer = root@localhost PROCEDURE p() DELETE FROM wcm.image;\nCALL p();",
    "another that was restored": f"DROP TABLE {OTHER}.log;",
    "the tables of accounts": "INSERT INTO mysql.db SELECT * FROM mysql.db;",
    "write a file": "SELECT 1 INTO OUTFILE '/tmp/failover-hostile';",
}  # fmt: skip


def hostile(server: MariaDB, orders: str, **more: Any) -> str:
    """A good dump with these orders before its last lines."""
    head, end, tail = server.dumped().rpartition("\n-- Dump completed")
    return server.dump(day(24), text=f"{head}\n{orders}\n{end}{tail}", **more)


@pytest.mark.parametrize("what", ORDERS)
def test_orders_that_lead_elsewhere_are_refused(maria: MariaDB, what: str) -> None:
    maria.root(f"CREATE DATABASE {OTHER}; CREATE TABLE {OTHER}.log (a int)")
    maria.root(f'ALTER DATABASE {OTHER} COMMENT \'failover: {{"backup": "x"}}\'')
    before, accounts = maria.content(), maria.root("SELECT User, Host FROM mysql.user ORDER BY 1, 2")
    kind, words = error(restored(maria, hostile(maria, ORDERS[what])))
    assert (kind, "it would change more than its database" in words) == ("hostile-backup", True), words
    assert maria.content() == before
    assert maria.root("SELECT User, Host FROM mysql.user ORDER BY 1, 2") == accounts
    assert maria.root("SELECT @@GLOBAL.read_only") == "0"
    assert maria.root("SHOW TABLES", OTHER) == "log"
    maria.root(f"DROP DATABASE {OTHER}")
    nothing_left(maria)
    assert not Path("/tmp/failover-hostile").exists()


def test_its_own_name_never_leads_to_what_serves(maria: MariaDB) -> None:
    before = maria.content()
    backup = hostile(maria, "USE wcm;\nDELETE FROM image;", tables={"page": 500, "image": 2000})
    kind, words = error(restored(maria, backup))
    assert (kind, "image has 0 rows instead of 2000" in words) == ("bad-backup", True), words
    nothing_left(maria)
    assert maria.content() == before


@pytest.mark.parametrize("orders", [
    "\\! touch {mark}", "system touch {mark}", "SELECT 1 \\! touch {mark}\n;", "\\T {mark}\nSELECT 1;",
    "\\. /etc/passwd", "SELECT 1 \\P touch {mark}\n;",
])  # fmt: skip
def test_a_command_for_the_client_gets_nowhere(maria: MariaDB, orders: str) -> None:
    mark = maria.top / "ran"
    maria.top.chmod(0o777)
    before = maria.content()
    kind, words = error(restored(maria, hostile(maria, orders.format(mark=mark))))
    maria.top.chmod(0o755)
    assert kind in ("hostile-backup", "bad-backup"), words
    assert not mark.exists()
    assert maria.content() == before
    nothing_left(maria)


def test_without_what_the_text_shows_rights_alone_keep_it_out(maria: MariaDB) -> None:
    """What every order is refused by in the end; the sentence by the text's first words is only plainer."""
    work = Work(Places(str(maria.home.root)), "database", boottime() + 60)
    entry = Policy.read(work.places).databases["wcm"]
    before = maria.content()
    work.began = True
    with Client(work, "nobody") as client:
        engine = Engine(work, entry, client)
        engine.sql(f"CREATE DATABASE {INTO}")
        Rights(engine).lend(INTO)
        tried = ["DELETE FROM wcm.image", "DROP TABLE wcm.image", "DROP DATABASE wcm", "USE wcm", "DROP TABLE mysql.db",
                 "GRANT SELECT ON wcm.* TO wcm@localhost", f"DROP DATABASE {OTHER}", f"CREATE DATABASE {OTHER}",
                 "CREATE USER evil@localhost", "SET GLOBAL read_only = 1", "SET ROLE x"]  # fmt: skip
        for orders in tried:
            with pytest.raises(Exception, match=r"denied|Access|Invalid role"):
                engine.sql(orders + ";", user=engine.restorer)
        engine.sql(f"CREATE TABLE {INTO}.mine (a int);", user=engine.restorer)
        engine.drop(INTO)
    assert maria.content() == before
    nothing_left(maria)
