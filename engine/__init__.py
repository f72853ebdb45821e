"""Text to speech: engines, the sentence pipeline, audio and the HTTP endpoints. Knows nothing of telephones."""
