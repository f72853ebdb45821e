"""What several bridges share, so that any of them answers for any call."""
