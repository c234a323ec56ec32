"""From files to a :class:`Config`, or to every problem at once, each as ``file:line:column: path: sentence``."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from failover.config.config import Config
from failover.config.crosschecks import crosscheck, crosscheck_common
from failover.config.messages import tell
from failover.config.model import CommonConfig, SiteConfig
from failover.config.strict_yaml import Document, NotYaml, read
from failover.config.strict_yaml import Path as Where
from failover.errors import ConfigError

SITES = "sites.d"
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _Problem:
    file: str
    line: int
    column: int
    path: Where
    sentence: str

    def __str__(self) -> str:
        path = ".".join(str(part) for part in self.path)
        return f"{self.file}:{self.line}:{self.column}: {path + ': ' if path else ''}{self.sentence}"


def load(path: str | Path, *, trusted: bool = False) -> Config:
    """The config in a file, with the sites of ``sites.d/*.yaml`` beside it.

    Args:
        path: the file, usually ``/etc/failover/failover.yaml``.
        trusted: don't look at who may write the files (for configs that nobody will run).

    Raises:
        ConfigError: it can't be used. All problems are said, in the order of their places; nothing was changed.
    """
    main = Path(path)
    files = [main, *sorted((main.parent / SITES).glob("*.yaml"))]
    problems: list[_Problem] = []
    texts: list[tuple[str, bytes]] = []
    common: CommonConfig | None = None
    sites: list[tuple[str, Document, SiteConfig]] = []
    for file in files:
        shown = str(file)
        try:
            text = _bytes(file, trusted)
            document = read(text)
        except ConfigError as error:
            problems.append(_Problem(shown, 1, 1, (), str(error)))
            continue
        except NotYaml as error:
            problems.append(_Problem(shown, error.line, error.column, error.path, error.sentence))
            continue
        texts.append((shown, text))
        problems += [_Problem(shown, bad.line, bad.column, bad.path, bad.sentence) for bad in document.problems]
        if not isinstance(document.value, dict):
            problems.append(_Problem(shown, 1, 1, (), "the config is a mapping of keys to values, as 'site:'"))
            continue
        first = file == main
        shared = {key: value for key, value in document.value.items() if key in CommonConfig.model_fields}
        own = {key: value for key, value in document.value.items() if key not in shared}
        if first:
            common, found = _check(CommonConfig, shared, document, shown)
            problems += found
            if common is not None:
                problems += _at(crosscheck_common(common), document, shown)
        elif shared:
            problems += [
                _Problem(
                    shown,
                    *document.place((key,), key=True),
                    (key,),
                    f"{key!r} is common to all sites; it belongs into {main}",
                )
                for key in shared
            ]
        if own or not first or len(files) == 1:
            site, found = _check(SiteConfig, own, document, shown)
            problems += found
            if site is not None:
                problems += _at(crosscheck(site, common), document, shown)
                sites.append((shown, document, site))
    problems += _same_names(sites)
    if problems:
        raise ConfigError(
            [
                str(problem)
                for problem in sorted(problems, key=lambda one: (one.file != str(main), one.file, one.line, one.column))
            ]
        )
    if common is None or not sites:
        raise ConfigError([f"{main}:1:1: there is no site in it, nor in {SITES}/*.yaml beside it"])
    return Config(main, common, tuple(site for _, _, site in sites), tuple(texts))


def _bytes(file: Path, trusted: bool) -> bytes:
    try:
        with file.open("rb") as stream:
            status = os.fstat(stream.fileno())
            text = stream.read()
    except OSError as error:
        raise ConfigError([f"it can't be read: {error.strerror}"]) from None
    mode = stat.S_IMODE(status.st_mode)
    if not trusted and mode & 0o022:
        who = "everybody" if mode & 0o002 else "its group"
        raise ConfigError(
            [
                f"{who} may write it (mode {mode:04o}), and who writes the config commands every server; "
                f"run chmod go-w {file}"
            ]
        )
    if not trusted and status.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            [f"it belongs to user {status.st_uid}, neither to root nor to who runs this; run chown root {file}"]
        )
    return text


def _check(
    model: type[Model], value: dict[str, Any], document: Document, file: str
) -> tuple[Model | None, list[_Problem]]:
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        found: dict[tuple[Where, str], _Problem] = {}
        for detail in error.errors(include_url=False):
            where, about_key, sentence = tell(detail, model, document)
            line, column = document.place(where, key=about_key)
            shown = where[:-1] if about_key else where
            found[(shown, sentence)] = _Problem(file, line, column, shown, sentence)
        return None, list(found.values())


def _at(found: Iterable[tuple[Where, str]], document: Document, file: str) -> list[_Problem]:
    return [_Problem(file, *document.place(where), where, sentence) for where, sentence in found]


def _same_names(sites: list[tuple[str, Document, SiteConfig]]) -> list[_Problem]:
    first: dict[str, str] = {}
    problems = []
    for file, document, site in sites:
        where: Where = ("site", "name")
        if site.name in first:
            sentence = f"the site {site.name!r} is in {first[site.name]} already"
            problems.append(_Problem(file, *document.place(where), where, sentence))
        first.setdefault(site.name, file)
    return problems
