"""Whole calls under a virtual clock, on a network in memory, from a seed: python -m tests.simulation --seeds 1000"""
