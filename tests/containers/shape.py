"""The keys of a compose file that ours uses, and the values they may have; any other key is a mistake.

Source: the Compose Specification (compose-spec.io, 05-services.md and its neighbours).
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, IPvAnyAddress, IPvAnyNetwork, StringConstraints


def _held(image: str) -> str:
    if image.endswith(":latest"):
        raise ValueError(f"{image} is another image tomorrow")
    return image


#: capabilities(7); engines take the names without CAP_.
Capability = Literal["NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Duration = Annotated[str, StringConstraints(pattern=r"^(\d+(ms|s|m|h))+$")]
Port = Annotated[str, StringConstraints(pattern=r"^127\.0\.0\.1:\d{1,5}:\d{1,5}$")]  # published to this machine only
Mount = Annotated[str, StringConstraints(pattern=r"^(\./)?[\w./-]+:/[\w./-]+(:ro)?$")]
Tagged = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9./-]*:[\w][\w.-]*$"), AfterValidator(_held)]
Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]


class Section(BaseModel):
    """No unknown keys, and a number is no text."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Build(Section):
    context: str
    dockerfile: str
    target: str | None = None


class Depends(Section):
    condition: Condition
    restart: Literal[True] | None = None


class Health(Section):
    test: list[str] = Field(min_length=2)
    interval: Duration
    timeout: Duration
    retries: int = Field(ge=1)
    start_period: Duration | None = None


class Plug(Section):
    ipv4_address: IPvAnyAddress | None = None


class Service(Section):
    image: Tagged
    build: Build | None = None
    pull_policy: Literal["build"] | None = None
    command: list[str] | None = None
    hostname: Name | None = None
    init: Literal[True] | None = None
    cgroup: Literal["private"] | None = None
    cap_add: list[Capability] = []
    security_opt: list[Literal["apparmor:unconfined"]] = []
    tmpfs: list[str] = []
    stop_signal: Literal["SIGRTMIN+3"] | None = None
    stop_grace_period: Duration | None = None
    restart: Literal["no", "on-failure"]
    depends_on: dict[Name, Depends] = {}
    network_mode: str | None = None
    networks: dict[Name, Plug] = {}
    ports: list[Port] = []
    volumes: list[Mount] = []
    healthcheck: Health | None = None


class Pool(Section):
    subnet: IPvAnyNetwork
    gateway: IPvAnyAddress
    ip_range: IPvAnyNetwork


class Ipam(Section):
    config: list[Pool] = Field(min_length=1, max_length=1)


class Network(Section):
    internal: bool = False
    ipam: Ipam | None = None


class Volume(Section):
    pass


class Compose(Section):
    name: Name
    services: dict[Name, Service]
    networks: dict[Name, Network]
    volumes: dict[Name, Volume]

    @classmethod
    def read(cls, raw: dict[str, Any]) -> "Compose":
        """Of the parsed file; ``x-`` keys are there to be merged from."""
        return cls.model_validate({key: value for key, value in raw.items() if not key.startswith("x-")})
