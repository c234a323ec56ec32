"""The published site: each page a file in /srv/site, which the distribution then carries to the web server.

A page begins and ends with ``<!-- build NAME -->``, NAME being a digest of what is between: half of a page is told
from a whole one, and an older state of a page from a newer. Files appear by rename, so nobody ever reads half of one.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.utils import timezone
from wagtail.models import Page, Revision

from .middleware import HOST
from .models import HomePage, Marker, MarkerPage, PublishedPage

STYLE = "body { margin: 2em auto; max-width: 50em; font-family: sans-serif } table { border-collapse: collapse }\n"
MEDIA = re.compile(r'(?:src|href)="/media/([^"]+)"')


def note_marker(instance: Page, revision: Revision | None = None, **_: Any) -> None:
    """Keep the marker of a marker page that was published."""
    if isinstance(instance, MarkerPage):
        number = revision.pk if revision else 0
        Marker.objects.create(
            text=instance.marker, source=instance.slug, wcm=HOST, revision=number, published_at=timezone.now()
        )


def write_after_commit(instance: Page, **_: Any) -> None:
    """Write a page and those that list it, once what they show is certain. Trouble with files fails no editor."""
    if isinstance(instance, PublishedPage):
        transaction.on_commit(lambda: write(family(instance)), robust=True)


def remove_after_commit(instance: Page, **_: Any) -> None:
    """Take a page's file away, and write those that listed it."""
    if isinstance(instance, PublishedPage):
        transaction.on_commit(lambda: write(family(instance)[1:], gone=[instance.file]), robust=True)


def family(page: PublishedPage) -> list[int]:
    """The page and its ancestors, by number."""
    return [page.pk, *(ancestor.pk for ancestor in page.get_ancestors() if ancestor.depth > 1)]


def write(numbers: Iterable[int], *, gone: Iterable[str] = ()) -> int:
    """Write these pages' files as they are now; returns how many."""
    with _alone():
        pages = [page for page in Page.objects.filter(pk__in=list(numbers)).live().specific() if _has_file(page)]
        for page in pages:
            _write(page.file, render(page))
        for file in gone:
            (settings.PUBLISHED / file).unlink(missing_ok=True)
        _finish()
    return len(pages)


def write_all() -> int:
    """Write the whole site, and remove what isn't part of it any more; returns the number of pages.

    Raises:
        LookupError: the database holds no site; what was published before is left as it is.
    """
    with _alone():
        pages = [page for page in Page.objects.live().specific() if _has_file(page)]
        if not any(page.file == "index.html" for page in pages):
            raise LookupError("the database holds no live home page: nothing was published, nothing removed")
        kept = {"build-id", "style.css"}
        for page in pages:
            body = render(page)
            kept |= {page.file, *(f"media/{name}" for name in MEDIA.findall(body.decode()))}
            _write(page.file, body)
        for file in settings.PUBLISHED.rglob("*"):
            if file.is_file() and str(file.relative_to(settings.PUBLISHED)) not in kept:
                file.unlink()
        _finish()
    return len(pages)


def render(page: PublishedPage) -> bytes:
    """A page's bytes, the same on every WCM that has the same database."""
    request = RequestFactory().get(page.link, headers={"host": "www"})
    context = page.get_context(request) | {"home": HomePage.objects.first()}
    body = render_to_string(page.get_template(request), context)
    name = page.file.removesuffix(".html").replace("/", "-")
    mark = f"<!-- build {name}.{hashlib.blake2b(body.encode(), digest_size=6).hexdigest()} -->\n"
    return f"{mark}{body.strip()}\n{mark}".encode()


def _has_file(page: Page) -> bool:
    return isinstance(page, PublishedPage)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One writer at a time: what is rendered under the lock is the newest, whichever worker does it."""
    settings.INCOMING.mkdir(parents=True, exist_ok=True)
    with (settings.INCOMING / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(file: str, content: bytes) -> None:
    target = settings.PUBLISHED / file
    if not target.exists() or target.read_bytes() != content:
        _place(target, content)
    for name in MEDIA.findall(content.decode()):
        source, copy = settings.MEDIA_ROOT / name, settings.PUBLISHED / "media" / name
        if source.exists() and (not copy.exists() or copy.stat().st_size != source.stat().st_size):
            _place(copy, source.read_bytes())


def _place(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=settings.INCOMING)
    with os.fdopen(number, "wb") as file:
        file.write(content)
    Path(name).chmod(0o644)
    shutil.move(name, target)


def _finish() -> None:
    """Say which state of the site this is, and wake the distribution."""
    newest = Page.objects.aggregate(newest=Max("live_revision_id"))["newest"]
    style = settings.PUBLISHED / "style.css"
    if not style.exists():
        _place(style, STYLE.encode())
    _place(settings.PUBLISHED / "build-id", f"revision-{newest}\n".encode())
    if settings.RUN.is_dir():  # it is there while a WCM runs here
        (settings.RUN / "published").touch()
