"""What people type; talks to the daemon over its socket, imports little."""
