"""Qwen3-TTS in plain PyTorch: the reference for everything faster."""
