"""Who has the floor. No I/O."""
