"""Stands in for torchaudio where it is missing or does not load beside a CPU torch.

`qwen-tts` imports torchaudio at import time for its 25 Hz tokenizer alone, which no model here uses: nothing in this
package is ever called. conftest.py puts it on sys.path, for the tests only, where the real one cannot be imported.
"""
