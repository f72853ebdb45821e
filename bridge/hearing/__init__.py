"""What the caller says: it takes the caller's audio and tells events of speech."""
