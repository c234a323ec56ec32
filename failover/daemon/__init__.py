"""The composition root: builds everything from a config, starts, reloads, stops. It decides nothing."""
