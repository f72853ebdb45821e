"""One call's conversation: what is heard goes to the turns, what they decide is done."""
