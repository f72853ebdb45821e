"""Speech in, speech out: the connection to a service that hears the caller and speaks to the caller by itself."""
