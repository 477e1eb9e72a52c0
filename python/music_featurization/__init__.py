"""Turn a folder of tagged recordings into a style space of music."""
