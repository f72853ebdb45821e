"""Qwen3-TTS: our own batched modules over the weights of upstream's `qwen-tts`.

Needs torch, which the extra `gpu` brings.
"""
