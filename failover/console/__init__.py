"""The HTTP API of the daemon: everything on a UNIX socket, only what monitoring needs on loopback."""
