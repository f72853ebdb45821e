"""The subcommands of `talkspurt` that are one module each."""
