"""The other end of the line: a caller that speaks AudioSocket as Asterisk does, and what it measures."""
