"""How an agent takes turns, measured as tau-voice does: who was heard when goes in, figures come out. No I/O."""
