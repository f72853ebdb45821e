"""Tests of engines that serve bridges."""
