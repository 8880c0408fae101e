"""How a score is shown: as lines of text, as a table of a notebook or a paper, as a figure."""
