"""The serving process's side, without torch: the engine, and the model's process seen from outside."""
