"""One piece of a database's URL (host, port, database) read and replaced; user, password and options stay unread.

Understood: ``postgres://user:pw@db:5432/wcm``, ``jdbc:postgresql://db/wcm?ssl=true``, ``jdbc:mysql://db:3306/wcm``,
``jdbc:sqlserver://db:1433;databaseName=wcm``, ``jdbc:oracle:thin:@//db:1521/wcm``, ``jdbc:oracle:thin:@db:1521:WCM``,
``jdbc:dm://db:5236/WCM``, ``jdbc:kingbase8://db:54321/wcm``.
"""

import re
from typing import Any

PIECES = ("host", "port", "database")
_URL = re.compile(
    r"(?P<head>[A-Za-z][A-Za-z0-9+.:-]*?:(?:@//|@|//)(?:[^/@;?]*@)?)"
    r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^:/;?,@\[\]()\s]+)"
    r"(?P<port>:\d+)?"
    r"(?P<name>/[^/?;,()\s]+|:[A-Za-z0-9_$.]+|;(?:.*;)?databaseName=[^;]+)?"
    r"(?P<tail>[/?;].*)?\Z",
    re.I | re.S,
)


def piece(url: str, name: str) -> str:
    """The host, port or database of a URL; "" for one that the URL leaves out.

    Raises:
        ValueError: it is no such URL.
    """
    found = _read(url)
    if name == "host":
        return str(found.group("host")).strip("[]")
    if name == "port":
        return str(found.group("port") or "").lstrip(":")
    return re.sub(r"\A(?:[/:]|;(?:.*;)?databaseName=)", "", found.group("name") or "", flags=re.I | re.S)


def with_piece(url: str, name: str, value: str) -> str:
    """The URL with another host, port or database.

    Raises:
        ValueError: it is no such URL, or the value can't be that piece of it.
    """
    found = _read(url)
    parts = {key: found.group(key) or "" for key in ("head", "host", "port", "name", "tail")}
    if name == "host":
        if not re.match(r"[A-Za-z0-9._-]+\Z|[0-9A-Fa-f:.]+\Z", value):
            raise ValueError(f"{value[:100]!r} is no host")
        parts["host"] = f"[{value}]" if ":" in value else value
    elif name == "port":
        if not re.match(r"\d{1,5}\Z", value):
            raise ValueError(f"{value[:100]!r} is no port")
        parts["port"] = ":" + value
    else:
        if not parts["name"]:
            raise ValueError("the URL names no database that could be replaced")
        if not re.match(r"[A-Za-z0-9_$.-]+\Z", value):
            raise ValueError(f"{value[:100]!r} is no name of a database")
        parts["name"] = parts["name"][: len(parts["name"]) - len(piece(url, "database"))] + value
    return "".join(parts[key] for key in ("head", "host", "port", "name", "tail"))


def _read(url: str) -> Any:
    found = _URL.match(url)
    if found is None:
        raise ValueError("it is no URL of one database server (scheme://host:port/database)")
    return found
