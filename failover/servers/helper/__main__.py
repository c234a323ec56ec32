"""Start it from its sources, for people who look into it; the servers start the zip."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
