"""Telling people, outside every recovery's path. A new kind of channel is one file and its name in ``AnyChannel``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from failover.notify.base import Channel, Message, Severity
from failover.notify.email import EmailChannel
from failover.notify.webhook import WebhookChannel

AnyChannel = Annotated[EmailChannel | WebhookChannel, Field(discriminator="kind")]

__all__ = ["AnyChannel", "Channel", "EmailChannel", "Message", "Severity", "WebhookChannel"]
