"""A service address: an IP that visitors use, where it lives, and what counts as proof that a server let it go (I2)."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from failover.model import Span

ACCEPTED_RISK = "two servers may answer for this address at once"


class ReadBack(BaseModel):
    """The old server's helper removed the address and read that back twice."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["read-back"] = "read-back"


class FenceProof(BaseModel):
    """The old server's fence confirmed that it is cut off."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["fence"] = "fence"


class PersonProof(BaseModel):
    """A named person says that the old server is off."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["person"] = "person"


class SilenceProof(BaseModel):
    """No proof at all: the old server was silent on every path for a time, and the operator accepted the risk."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["silence"] = "silence"
    time: Span = Field(ge=10, description="How long the old server must be silent on every path.")
    accept: Literal["two servers may answer for this address at once"] = Field(
        description="The risk in so many words; without this sentence silence is never taken for proof."
    )


def _from_words(value: object) -> object:
    if isinstance(value, str):
        return {"kind": value}
    if isinstance(value, dict) and len(value) == 1 and "silence" in value and isinstance(value["silence"], dict):
        return {"kind": "silence", **value["silence"]}
    return value


# An address lease ("lease 10s") joins here once servers can hold one.
Proof = Annotated[
    Annotated[ReadBack | FenceProof | PersonProof | SilenceProof, Field(discriminator="kind")],
    BeforeValidator(_from_words),
]


CertainProof = Annotated[
    Annotated[ReadBack | FenceProof | PersonProof, Field(discriminator="kind")], BeforeValidator(_from_words)
]
"""Those that leave no risk to accept."""


class Address(BaseModel):
    """``{ip: 10.77.0.100/24, interface: eth0, release: [read-back, fence, person]}``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ip: str = Field(description="The IPv4 or IPv6 address; with a prefix, or the interface's own network gives it.")
    interface: str = Field(default="eth0", pattern=r"^[A-Za-z0-9._-]{1,15}$", description="Where it is put.")
    release: tuple[Proof, ...] = Field(
        default=(ReadBack(), FenceProof(), PersonProof()),
        description="What counts as proof of release, tried in this order.",
        min_length=1,
    )

    @field_validator("ip")
    @classmethod
    def _is_ip(cls, value: str) -> str:
        try:
            return str(ipaddress.ip_interface(value)) if "/" in value else str(ipaddress.ip_address(value))
        except ValueError as error:
            raise ValueError(
                f"{value!r} is not an IP address; write it as 10.77.0.100, 10.77.0.100/24 or fd77::100/64"
            ) from error

    @property
    def host(self) -> str:
        """The address alone."""
        return self.ip.partition("/")[0]

    @property
    def prefix(self) -> int | None:
        """The prefix length, if the config gives it."""
        return int(self.ip.partition("/")[2]) if "/" in self.ip else None

    @property
    def version(self) -> int:
        """4 or 6."""
        return ipaddress.ip_address(self.host).version
