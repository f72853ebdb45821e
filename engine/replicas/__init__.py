"""Several engines on other machines, or on other GPUs, that speak as one (ENGINE=remote with ENGINE_URLS)."""
