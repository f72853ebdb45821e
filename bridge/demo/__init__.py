"""`talkspurt demo`: calls to a server of its own, as sound, as a picture and as figures."""
