"""The form of a call's journal: its events, their JSON schema, and how a line is written and read."""
