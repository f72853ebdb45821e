"""`talkspurt demo`: starts servers, calls them, and leaves the calls as sound, as a picture and as figures."""
