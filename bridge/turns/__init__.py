"""The turns of a call: who has the floor. No I/O."""
