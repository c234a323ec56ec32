"""A plan: named steps, and when they apply. Stored with each run, so that an edit in mid-run is noticed."""

from __future__ import annotations

import hashlib
import json
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from failover.decide import when as conditions
from failover.model import Mode, Span
from failover.recover.steps import AddressHeld, AnyStep, Released, ServiceRunning, ServiceStopped
from failover.servers.helper.parking import full


class Plan(BaseModel):
    """Moves a role from its holder to its standby; run the other way it is the way back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: str | None = Field(
        default=None, description="The failure that the plan is for, as `website is down and not wcm is down`."
    )
    mode: Mode = Field(default=Mode.PROPOSE, description="How far it may go by itself: `off`, `propose` or `auto`.")
    role: str | None = Field(
        default=None, description="The role that it moves; by default the role of the plan's name."
    )
    steps: tuple[AnyStep, ...] = Field(
        min_length=1, max_length=50, description="What must be so at the end, in this order."
    )
    cooldown: Span = Field(
        default=3600.0,
        ge=0,
        description="After a run it doesn't act by itself for this time, unless a person acknowledges the run, or the "
        "failure was gone before the run did anything.",
    )
    commit_within: Span = Field(
        default=1800.0,
        ge=0,
        description="How long a move can be taken back with `failover rollback`, unless `failover commit` ends it.",
    )

    @field_validator("when")
    @classmethod
    def _can_be_read(cls, value: str | None) -> str | None:
        if value is not None:
            conditions.parse(value)
        return value

    @model_validator(mode="after")
    def _proves_before_it_gives(self) -> Self:
        released: set[str] = set()
        for number, step in enumerate(self.steps, start=1):
            if isinstance(step, Released):
                released.add(step.address)
            elif isinstance(step, AddressHeld) and step.address not in released and self.when is not None:
                raise ValueError(
                    f"step {number} gives {step.address} to a server, and no step before it is "
                    f"'released: {{address: {step.address}}}': two servers could answer for it"
                )
        return self

    @property
    def condition(self) -> conditions.Condition | None:
        """The failure that it is for."""
        return None if self.when is None else conditions.parse(self.when)

    @property
    def alone(self) -> frozenset[str]:
        """The units that only one of the role's two servers may run: stopped on the old one, started on the new."""
        stopped = {full(step.unit) for step in self.steps if isinstance(step, ServiceStopped) and step.on == "old"}
        started = {full(step.unit) for step in self.steps if isinstance(step, ServiceRunning) and step.on == "new"}
        return frozenset(stopped & started)

    @property
    def text(self) -> str:
        """All that matters to a run, in one way only; :meth:`from_text` reads it."""
        return json.dumps(
            self.model_dump(mode="json", by_alias=True), ensure_ascii=False, sort_keys=True, separators=(",", ":")
        )

    @property
    def sha256(self) -> str:
        """Of :attr:`text`."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def from_text(cls, text: str) -> Plan:
        """The plan that was stored with a run."""
        return cls.model_validate_json(text)
