"""One call with a service that hears and speaks by itself."""
