"""Runs over images larger than memory: tiles, what is done of them, and who works on them."""
