"""What the caller says: audio in, events out."""
