"""The subcommands of `talkspurt` that need no package of their own."""
