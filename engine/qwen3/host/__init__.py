"""In the serving process, without torch: the engine, and the model's process seen from outside."""
