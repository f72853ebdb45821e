"""The turns of a call: who may speak, and who is interrupted. No I/O."""
