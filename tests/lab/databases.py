"""What is in the bureau's databases, asked on their hosts as their superuser: no failover or WCM has a word in it."""

import shlex

from .errors import LabError
from .host import Host
from .lab import Lab
from .wcm import DATABASE_HOSTS

#: Finds the newest marker that `wcm-marker` published; the same for every engine. Editors' markers are left out.
PROOF_QUERY = "select text from bureau_marker where source = 'proof' order by id desc limit 1"

AS_POSTGRES = "setpriv --reuid postgres --regid postgres --init-groups"
CLIENTS = {
    "postgresql": f"{AS_POSTGRES} psql -XAtqv ON_ERROR_STOP=1 -F '\t' {{database}}",
    "mariadb": "mariadb --default-character-set=utf8mb4 --batch --skip-column-names --raw {database}",
}
NAMES = {
    "postgresql": "select datname from pg_database where not datistemplate and datname <> 'postgres' order by 1",
    "mariadb": "select schema_name from information_schema.schemata where schema_name not in"
    " ('mysql', 'sys', 'information_schema', 'performance_schema') order by 1",
}
HAS_MARKERS = {
    "postgresql": "select 1 from pg_tables where tablename = 'bureau_marker'",
    "mariadb": "show tables like 'bureau_marker'",
}
SERVICES = {"postgresql": "postgresql@*", "mariadb": "mariadb"}


def engine(lab: Lab) -> str:
    """The engine of this lab's databases."""
    if lab.made is None:
        raise LabError("this lab has no WCM: make it with Lab(.., wcm='postgresql')")
    return lab.made.engine


def ask(lab: Lab, host: Host, sql: str, database: str = "") -> list[list[str]]:
    """The rows of a query, as text. It fails with `LabError` where the server doesn't run."""
    kind = engine(lab)
    database = database or ("postgres" if kind == "postgresql" else "mysql")
    done = host.run(CLIENTS[kind].format(database=shlex.quote(database)), stdin=f"{sql};\n", timeout=60)
    return [line.split("\t") for line in done.out.splitlines()]


def databases(lab: Lab, host: Host) -> list[str]:
    """The names of a server's databases, its own ones left out."""
    return [name for (name,) in ask(lab, host, NAMES[engine(lab)])]


def markers(lab: Lab, host: Host, database: str = "wcm", *, source: str = "marker") -> list[str]:
    """The markers in a database, in the order of their publication: of editors, or (``proof``) of `wcm-marker`."""
    sql = f"select text from bureau_marker where source = '{source}' order by id"  # noqa: S608 - words of ours
    return [text for (text,) in ask(lab, host, sql, database)]


def markers_by_database(lab: Lab, *, source: str = "marker") -> dict[tuple[str, str], list[str]]:
    """The markers in every database that can be asked now: ``{("db", "wcm"): ["w-1", ..], ..}``.

    A database without the site's tables has none; a host without power, or whose server is stopped, isn't in it.
    """
    found = {}
    kind = engine(lab)
    for name in DATABASE_HOSTS:
        host = lab.hosts.get(name)
        if host is None or not host.on:
            continue
        if "active" not in host.run(["systemctl", "is-active", SERVICES[kind]], check=False).out.split():
            continue
        for database in databases(lab, host):
            there = ask(lab, host, HAS_MARKERS[kind], database)
            found[name, database] = markers(lab, host, database, source=source) if there else []
    return found
