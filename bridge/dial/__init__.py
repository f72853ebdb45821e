"""The caller's side: calls that speak AudioSocket as Asterisk does, and what they measure."""
