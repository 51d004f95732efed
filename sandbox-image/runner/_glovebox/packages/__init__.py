"""The packages of the image and of the session."""
