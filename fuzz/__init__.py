"""Harnesses that feed made-up bytes to whatever reads what strangers send. `python -m fuzz` runs all of them."""
