"""Engines that serve bridges: one process as a replica, and replicas that Ray Serve places, watches and scales."""
