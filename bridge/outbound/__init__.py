"""Calls that the agent places: Asterisk is given a call file, dials, and connects who answers to the agent."""
