"""How captions lie in files, folders and tables: each layout as rows of image, text and fields."""
