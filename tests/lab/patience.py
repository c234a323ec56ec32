"""How much longer than on a quiet machine a wait may take: what it is bounded by guards tests, and measures nothing."""

PATIENCE = 2.0
