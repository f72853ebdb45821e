"""Who answers: a language model or a script."""
