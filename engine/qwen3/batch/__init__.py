"""Who is in the batch, what is due, when it is over."""
