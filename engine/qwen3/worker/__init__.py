"""The model's process: commands come in, sound goes out."""
