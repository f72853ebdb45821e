"""One engine for several processes: many sentences at once on one connection, of a Unix socket or of TCP."""
