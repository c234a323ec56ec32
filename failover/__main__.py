"""``python -m failover`` is ``failover``."""

from __future__ import annotations

from failover.cli.main import main

if __name__ == "__main__":
    main()
