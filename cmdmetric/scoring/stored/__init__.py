"""Files that are read again: of moments, made and put together, and of scores."""
