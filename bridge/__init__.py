"""The telephone side: AudioSocket calls, their clock, what they hear, and who may speak."""

import os

# Set before numpy is imported. The products of a resampler are so small that OpenBLAS's threads, which wait for one
# another in a busy loop, made one push of 0.6 s of sound last up to 29 ms on a busy machine, and held up every call.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
