"""The telephone side: AudioSocket calls, their clock, what they hear and who has the floor."""
