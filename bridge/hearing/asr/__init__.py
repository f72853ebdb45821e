"""Speech recognition: one small adapter a protocol, one client that keeps it connected."""
