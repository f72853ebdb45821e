"""The HTTP server's connections: how many there may be, how long each may be silent, how fast it is read."""
