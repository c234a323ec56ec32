"""Watches a site: looks, folds, asks ``decide``, tells people, and hands recoveries to the runner."""
