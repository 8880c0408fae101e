"""Fréchet distances of images and captions together: which belongs to which counts."""
