"""From files to a :class:`Config`, or to every problem at once, each as ``file:line:column: path: sentence``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from failover.config.checked import Checked, at, check
from failover.config.config import Config
from failover.config.crosschecks import crosscheck, crosscheck_common, crosscheck_sites
from failover.config.files import config_bytes, unsafe_keys, unsafe_place, unsafe_secret
from failover.config.messages import closest
from failover.config.model import CommonConfig, SiteConfig, StoreSection, WholeConfig
from failover.config.prepare import prepared, with_automation, with_monitor
from failover.config.problem import Problem
from failover.config.references import Declared
from failover.config.secrets import locate, named
from failover.config.strict_yaml import Document, NotYaml, read
from failover.config.strict_yaml import Path as Where
from failover.config.warnings import absent_secrets, warnings_of
from failover.errors import ConfigError

SITES = "sites.d"
MOST_FILES = 1000
_NEVER_EMPTY = frozenset(name for name, info in SiteConfig.model_fields.items() if info.is_required())


@dataclass(frozen=True, slots=True)
class _File:
    """One file that could be read."""

    shown: str
    text: bytes
    document: Document
    common: Checked[CommonConfig] | None
    site: Checked[SiteConfig] | None


def load(path: str | Path, *, trusted: bool = False) -> Config:
    """The config in a file, with the sites of ``sites.d/*.yaml`` beside it.

    Args:
        path: the file, usually ``/etc/failover/failover.yaml``.
        trusted: don't look at who may read or write the files (for configs that nobody will run).

    Raises:
        ConfigError: it can't be used. All problems are said, in the order of their places; nothing was changed.
    """
    main = Path(path)
    names = [main, *sorted((main.parent / SITES).glob("*.yaml"))][: MOST_FILES + 1]
    problems: list[Problem] = []
    read_files = [_read(name, main, problems, trusted) for name in names]
    files = [file for file in read_files if file is not None]
    common = next((file.common for file in files if file.common is not None), None)
    shared = common.rest if common is not None else None
    for file in files:
        if file.common is not None and file.common.rest is not None:
            problems += at(crosscheck_common(file.common.rest), file.document, file.shown)
        if file.site is not None and file.site.rest is not None:
            problems += at(crosscheck(file.site.rest, shared, _declared(file.document)), file.document, file.shown)
        if not trusted:
            problems += at(_unsafe(file.document.value, main.parent), file.document, file.shown)
    sites = [(file, file.site.rest) for file in files if file.site is not None and file.site.rest is not None]
    for number, where, sentence in crosscheck_sites([(file.shown, site) for file, site in sites]):
        problems += at([(where, sentence)], sites[number][0].document, sites[number][0].shown)
    if not trusted and shared is not None and files and files[0].common is not None:
        problems += at(_unsafe_store(shared.store), files[0].document, files[0].shown)
    if not problems and not sites:
        problems.append(Problem(str(main), 1, 1, "", f"there is no site in it, nor in {SITES}/*.yaml beside it"))
    if problems or common is None or common.model is None:
        raise ConfigError([str(one) for one in _sorted(problems, str(main))])
    made = [file.site.model for file in files if file.site is not None and file.site.model is not None]
    warnings: list[Problem] = []
    for file in files:
        if file.site is not None and file.site.model is not None:
            warnings += at(warnings_of(file.site.model, common.model), file.document, file.shown)
        if not trusted:
            warnings += at(absent_secrets(file.document.value, main.parent), file.document, file.shown)
    texts = tuple((file.shown, file.text) for file in files)
    store = common.model.store
    whole = tuple(with_monitor(with_automation(site), store) for site in made)
    return Config(main, common.model, whole, texts, tuple(str(one) for one in _sorted(warnings, str(main))))


def _read(name: Path, main: Path, problems: list[Problem], trusted: bool) -> _File | None:
    """One file's parts, checked each for itself."""
    shown = str(name)
    try:
        text = config_bytes(name, trusted=trusted)
        document = read(text)
    except ConfigError as error:
        problems.append(Problem(shown, 1, 1, "", str(error)))
        return None
    except NotYaml as error:
        problems.append(Problem(shown, error.line, error.column, "", error.sentence))
        return None
    problems += [
        Problem(shown, bad.line, bad.column, ".".join(map(str, bad.path)), bad.sentence) for bad in document.problems
    ]
    if not isinstance(document.value, dict):
        problems.append(Problem(shown, 1, 1, "", "the config is a mapping of keys to values, as 'site: {name: …}'"))
        return None
    value, trouble = prepared(document.value)
    problems += at(trouble, document, shown)
    shared = {key: value[key] for key in value if key in CommonConfig.model_fields}
    own = {key: value[key] for key in value if key not in shared}
    common = site = None
    if name == main:
        common = check(CommonConfig, shared, document, shown)
        problems += common.problems
    else:
        wrong = [((key,), f"{key!r} is common to all sites; it belongs into {main}") for key in shared]
        problems += at(wrong, document, shown)
    if own or name != main:
        site = check(SiteConfig, own, document, shown)
        problems += site.problems
    return _File(shown, text, document, common, site)


def _declared(document: Document) -> Declared:
    """The names in each section, a misspelt one's under the name that was meant."""
    found: dict[str, set[str] | None] = {}
    for section, value in document.value.items():
        meant = section if section in WholeConfig.model_fields else closest(section, WholeConfig.model_fields)
        readable = isinstance(value, dict) and (value or section not in _NEVER_EMPTY)
        found[meant or section] = set(value) if readable else None
    return found


def _unsafe(value: object, beside: Path) -> Iterable[tuple[Where, str]]:
    for where, name in named(value):
        if why := unsafe_secret(locate(name, beside)):
            yield where, why


def _unsafe_store(store: StoreSection) -> Iterable[tuple[Where, str]]:
    for key, place in (("keys", store.keys), ("known_hosts", store.known_hosts)):
        if why := unsafe_place(Path(place)):
            yield ("store", key), why
    for why in unsafe_keys(Path(store.keys)):
        yield ("store", "keys"), why


def _sorted(problems: Iterable[Problem], main: str) -> list[Problem]:
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda one: (one.file != main, one.file, one.line, one.column))
