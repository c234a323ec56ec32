"""The servers, reached through their helpers."""
