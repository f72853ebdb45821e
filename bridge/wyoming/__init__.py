"""Speech for Home Assistant, by its own protocol, Wyoming. Nothing of it is loaded unless WYOMING_PORT is set."""
