"""Text to speech: engines and what they share. Knows nothing of telephones."""

import os

# From 1.29 on onnxruntime records usage on Linux and sends it home unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
