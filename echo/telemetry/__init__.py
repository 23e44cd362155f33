"""What operators see of the running programs. Nothing of it is loaded unless the environment asks for it."""
