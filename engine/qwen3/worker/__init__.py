"""The model's process: commands in, sound out."""
