"""failover watches a website's web, WCM and database servers and carries out the emergency plan on their backups."""

__version__ = "0.1.0"
