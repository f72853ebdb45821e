"""Tells which part of a text was not heard."""

from __future__ import annotations


def rest_of(text: str, heard: str) -> str:
    """Returns what follows in `text` on what was heard of it; nothing where that cannot be told.

    Letters and digits are compared, for what was heard has other spaces and no marks of the speech markup.
    """
    place = 0
    letters = (letter for letter in heard if letter.isalnum())
    for letter in letters:
        while place < len(text) and not text[place].isalnum():
            place += 1
        if place == len(text) or text[place] != letter:
            return ""
        place += 1
    while place < len(text) and not (text[place].isalnum() or text[place].isspace()):
        place += 1  # the full stop belongs to the last word that was heard
    return " ".join(text[place:].split())
