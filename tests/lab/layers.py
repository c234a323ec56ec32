"""Folders that are built once and never written to again: built under a temporary name, and renamed when whole.

A layer's name carries a hash of its recipe: another recipe is another layer, and nobody uses half of one.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .errors import LabError, LabTimeout

REPOSITORY = Path(__file__).resolve().parents[2]

BUILD_SECONDS = 900
UNUSED_SECONDS = 14 * 86400


def cache() -> Path:
    """Where layers are kept: ``$FAILOVER_CACHE``, else ``.cache`` in the repository."""
    folder = Path(os.environ.get("FAILOVER_CACHE") or REPOSITORY / ".cache") / "lab"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def layer(kind: str, recipe: Sequence[str], build: Callable[[Path], None]) -> Path:
    """The folder that ``build`` fills by this recipe: from the cache, or built now."""
    key = hashlib.sha256(json.dumps(list(recipe)).encode()).hexdigest()[:12]
    done = cache() / f"{kind}-{key}"
    if done.is_dir():
        os.utime(done)
        return done
    with _only_builder(done.with_suffix(".lock")):
        if not done.is_dir():  # another builder may have finished it while we waited
            making = done.with_suffix(".making")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(mode=0o755)
            try:
                build(making)
                making.rename(done)
                _forget_unused(kind)
            finally:
                shutil.rmtree(making, ignore_errors=True)
    return done


def run(*command: str, stdin: str | None = None, environment: dict[str, str] | None = None) -> None:
    """Run one command of a build; `LabError` with the end of its output if it fails."""
    try:
        done = subprocess.run(
            command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=BUILD_SECONDS, env=environment, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise LabTimeout(f"{command[0]} didn't finish within {BUILD_SECONDS} s") from None
    if done.returncode:
        raise LabError(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-4000:]}")


def _forget_unused(kind: str) -> None:
    """Remove layers that no lab has asked for in a while: a cache must not grow with every change of a recipe."""
    for found in cache().glob(f"{kind}-*"):
        if found.stat().st_mtime < time.time() - UNUSED_SECONDS:
            found.unlink() if found.is_file() else shutil.rmtree(found, ignore_errors=True)


@contextlib.contextmanager
def _only_builder(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        deadline = time.monotonic() + BUILD_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LabTimeout(f"another process has been building {lock.stem} for {BUILD_SECONDS} s") from None
                time.sleep(0.2)
        yield
