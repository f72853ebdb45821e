"""The wire and its clock: AudioSocket, calls and what is played into them."""
