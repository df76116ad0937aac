"""One file for each kind of file that images are read from."""
