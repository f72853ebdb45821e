"""`talkspurt converse`: callers that follow scenarios call a server, and what comes back is judged."""
