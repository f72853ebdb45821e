"""WORKERS=2 and more: processes that carry calls, and the one that gives them out and owns engine and ports."""
