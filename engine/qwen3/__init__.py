"""Qwen3-TTS: our own batched modules over the weights that upstream's `qwen-tts` loads.

Needs torch: `pip install 'talkspurt[gpu]'`.
"""
