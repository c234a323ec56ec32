"""What Prometheus may know: gauges over snapshots, so that removed checks disappear, and a few counts of our own."""

from __future__ import annotations

from failover.metrics.collector import make_registry
from failover.metrics.snapshot import BackupSnapshot, ChannelSnapshot, PlanSnapshot, SiteSnapshot, Snapshot
from failover.metrics.tally import Tally

__all__ = ["BackupSnapshot", "ChannelSnapshot", "PlanSnapshot", "SiteSnapshot", "Snapshot", "Tally", "make_registry"]
