"""A real WCM for the lab: a bureau's site on Wagtail, its database, and what each host needs for its part in it.

Everything slow is done once, at the build of three layers: Wagtail's wheels in ``/opt/wcm``; the site, migrated, filled
and published; the databases of `db` (with the site) and `db-backup` (empty, ready). A lab without a WCM needs none.
"""

import functools
import hashlib
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import base, layers
from .errors import LabError

ENGINES = ("postgresql", "mariadb")
HOSTS = ("wcm", "wcm-backup")
DATABASE_HOSTS = ("db", "db-backup")

HERE = Path(__file__).parent
SITE = HERE / "wcm_site"
LOCK = SITE / "requirements.lock"
SECRETS = ("wcm-password", "failover-password", "editor-password", "admin-password", "secret-key", "marker-token")
#: Languages whose translations are kept: the others are half of Wagtail's size.
LANGUAGES = ("en", "zh_Hans", "zh_hans", "zh")


@dataclass(frozen=True)
class Made:
    """The layers of a WCM on one database engine, each to be laid over the shared root."""

    engine: str
    environment: Path
    folder: Path

    @property
    def port(self) -> int:
        """Of the database."""
        return 5432 if self.engine == "postgresql" else 3306

    def secret(self, name: str) -> str:
        """One of `SECRETS`, made at the build."""
        return (self.folder / "secrets" / name).read_text()

    def below(self, host: str) -> list[Path]:
        """The layers for a host, the uppermost first."""
        if host in HOSTS:
            return [self.folder / "wcm", self.environment]
        return [self.folder / host] if host in DATABASE_HOSTS else []

    def published(self) -> Path:
        """The site's files as they were published at the build."""
        return self.folder / "wcm" / "srv" / "site"


def made(engine: str) -> Made:
    """Layers of the WCM on ``postgresql`` or ``mariadb``: from the cache, or built now (it takes about a minute)."""
    if engine not in ENGINES:
        raise LabError(f"no WCM on {engine!r} in the lab: there are {' and '.join(ENGINES)}")
    root, environment_ = base.root(), environment()
    tools = HERE / "engines"
    recipe = [root.name, environment_.name, engine, _digest(SITE), _digest(tools / engine), _digest(tools / "build.sh")]
    folder = layers.layer(
        "wcm", recipe, functools.partial(_build, tools=tools, engine=engine, root=root, below=environment_)
    )
    return Made(engine, environment_, folder)


def environment() -> Path:
    """A layer with Wagtail, gunicorn and the database drivers in ``/opt/wcm``, a venv of the root's own Python."""
    root = base.root()
    recipe = [root.name, LOCK.read_text(), *LANGUAGES]
    return layers.layer("wagtail", recipe, lambda into: _build_environment(into, root))


def _build_environment(into: Path, root: Path) -> None:
    version = base.python_version(root)
    venv = into / "opt/wcm"
    library = venv / f"lib/python{version}/site-packages"
    base.wheels(LOCK, version, library)
    # All that a venv is: see venv in Python's documentation, and site's on pyvenv.cfg.
    (venv / "bin").mkdir()
    (venv / "bin/python").symlink_to(f"/usr/bin/python{version}")
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    for language in library.glob("**/locale/*"):
        if language.is_dir() and language.name not in LANGUAGES:
            shutil.rmtree(language)
    compile_all = 'mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3/work" "$3/merged"; shift 3; '
    scratch = _scratch(into)
    try:
        command = ["chroot", str(scratch / "merged"), "/opt/wcm/bin/python", "-m", "compileall", "-q", "-j", "0"]
        _isolated(compile_all + '"$@"', str(root), str(into), str(scratch), *command, "/opt/wcm/lib")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _build(into: Path, *, tools: Path, engine: str, root: Path, below: Path) -> None:
    kept = into / "secrets"
    kept.mkdir(mode=0o700)
    for name in SECRETS:
        (kept / name).write_text(secrets.token_urlsafe(18))
    ignore = shutil.ignore_patterns("__pycache__", "requirements.*")
    shutil.copytree(SITE, into / "wcm/opt/wcm/site", ignore=ignore)
    scratch = _scratch(into)
    try:
        arguments = [str(path) for path in (tools / engine, into, scratch, root, below)]
        _isolated('exec sh "$0" "$@"', *arguments, program=str(tools / "build.sh"))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _scratch(into: Path) -> Path:
    scratch = into.parent / f"{into.name}.scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    for folder in ("work", "merged"):
        (scratch / folder).mkdir(parents=True)
    return scratch


def _isolated(script: str, *arguments: str, program: str = "sh") -> None:
    """Run a script in namespaces of its own: its mounts, its processes and its network end with it."""
    spaces = ["--mount", "--propagation=private", "--pid", "--net", "--fork", "--kill-child=KILL"]
    environment = {"PATH": base.CHROOT_PATH, "LC_ALL": "C.UTF-8"}
    layers.run("unshare", *spaces, "sh", "-ec", script, program, *arguments, environment=environment)


def _digest(path: Path) -> str:
    """Of a file, or of every file of a folder that isn't made by Python."""
    sums = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts and not file.name.startswith("requirements."):
            sums.update(f"{file.relative_to(path)} {file.stat().st_mode & 0o777:o} ".encode())
            sums.update(hashlib.sha256(file.read_bytes()).digest())
    return sums.hexdigest()
