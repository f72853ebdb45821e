"""`talkspurt doctor`: looks at the PBX and the server, and says what is wrong and what to do."""
