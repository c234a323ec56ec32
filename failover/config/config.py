"""A config that was read and found good."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from failover.config.model import CommonConfig, SiteConfig


@dataclass(frozen=True, slots=True)
class Config:
    """What is common, and every site. Made by :func:`failover.config.load.load`."""

    path: Path
    common: CommonConfig
    sites: tuple[SiteConfig, ...]
    texts: tuple[tuple[str, bytes], ...]
    """Every file that it was read from, with its bytes."""
    warnings: tuple[str, ...] = ()
    """What works and yet deserves a look, each led by ``file:line:column:``."""

    @property
    def sha256(self) -> str:
        """Of all its files, so that two daemons can tell whether they run the same config."""
        digest = hashlib.sha256()
        for _, text in self.texts:
            digest.update(len(text).to_bytes(8, "big") + text)
        return digest.hexdigest()

    def site(self, name: str | None = None) -> SiteConfig:
        """The site of that name; without a name the only one.

        Raises:
            LookupError: there is no such site, or several and no name; the sentence lists them.
        """
        found = [site for site in self.sites if name is None or site.name == name]
        if len(found) == 1:
            return found[0]
        names = ", ".join(site.name for site in self.sites)
        raise LookupError(f"there is no site {name!r}; there is {names}" if name else f"name one of the sites: {names}")
