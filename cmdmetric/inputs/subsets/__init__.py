"""Parts of sets that are the same on every machine: by a seed, and by the name of a recipe."""
