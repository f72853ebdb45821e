"""Every fault that a call may meet, what its caller hears then, and the table of it: python -m tests.faults --write"""
