"""The embedded engine: hibari's English voice on the CPU, in processes of its own."""

from engine.hibari.engine import HibariEngine

__all__ = ["HibariEngine"]
