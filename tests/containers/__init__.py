"""docker-compose.yml looked at without an engine, and run with one."""
