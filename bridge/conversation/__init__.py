"""One call's conversation: it hands what is heard to the turns and carries out what they decide."""
