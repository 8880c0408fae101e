"""What nearest neighbours tell: precision to coverage, and whether images are copies."""
