"""Who answers the caller: a language model or a script."""
