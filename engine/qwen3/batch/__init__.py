"""The batch: which sentences are in it, what is due for each, when each is over; and the plain runner."""
