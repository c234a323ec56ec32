"""Where a probe looks when its config names a role or a server instead of an address."""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, model_validator

from failover.probes.base import Probe, Sight

PLACEHOLDER = re.compile(r"\{(\w+)\}")
"""``{holder}`` and ``{server}``; other braces, as those of JSON, are text."""


class PlacedProbe(Probe):
    """A probe whose settings may say ``{holder}`` or ``{server}`` where an address stands."""

    def places(self) -> tuple[str, ...]:
        """The settings' texts in which placeholders are replaced."""
        raise NotImplementedError  # every kind has its own

    @model_validator(mode="after")
    def _placeholders_have_a_meaning(self) -> Self:
        for text in self.places():
            for name in PLACEHOLDER.findall(text):
                if name not in ("holder", "server"):
                    raise ValueError(f"{{{name}}} in {text!r} means nothing; there are {{holder}} and {{server}}")
                if name == "holder" and self.role is None:
                    raise ValueError(f"{text!r} speaks of {{holder}}, so the check needs a role, as `role: web`")
                if name == "server" and self.server is None:
                    raise ValueError(f"{text!r} speaks of {{server}}, so the check needs a server, as `server: db`")
        return self

    def place(self, text: str, sight: Sight, *, in_url: bool = False) -> str:
        """``text`` with the addresses of now; IPv6 addresses in brackets ``in_url`` (RFC 3986, 3.2.2)."""
        if "{" not in text:
            return text

        def address(found: re.Match[str]) -> str:
            ip = sight.address_of(self.named(found[1], sight))
            return f"[{ip}]" if in_url and ":" in ip else ip

        return PLACEHOLDER.sub(address, text)

    def named(self, placeholder: str, sight: Sight) -> str:
        """The name of the server that ``holder`` or ``server`` stands for now."""
        if placeholder == "holder" and self.role is not None:
            return sight.holder(self.role)
        if placeholder == "server" and self.server is not None:
            return self.server
        raise ValueError(f"{{{placeholder}}} has no meaning here")  # the validator keeps it out


class AddressedProbe(PlacedProbe):
    """A probe of one address: given, or that of its server, or that of its role's holder."""

    address: str | None = Field(
        default=None,
        min_length=1,
        description="IP or name to look at; left out, the address of the check's server or of its role's holder.",
    )

    def places(self) -> tuple[str, ...]:
        """The address, where one is given."""
        return (self.address,) if self.address else ()

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.address is None and self.server is None and self.role is None:
            raise ValueError("it has nothing to look at; give it an address, a server or a role")
        return self

    def where(self, sight: Sight) -> str:
        """The IP or name to look at now."""
        if self.address is not None:
            return self.place(self.address, sight)
        return sight.address_of(self.named("server" if self.server is not None else "holder", sight))
