"""Looks at calls that are over: `talkspurt call` shows one, `talkspurt judge` measures how the agent takes turns."""
