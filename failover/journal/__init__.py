"""What happened, durably: :class:`Journal` writes, :mod:`~failover.journal.queries` folds, :func:`verify` proves."""

from failover.journal.journal import Journal
from failover.journal.queries import IncidentView, RunView, run_view
from failover.journal.site_view import SiteView
from failover.journal.verify import Fault, Verified, verify

__all__ = ["Fault", "IncidentView", "Journal", "RunView", "SiteView", "Verified", "run_view", "verify"]
