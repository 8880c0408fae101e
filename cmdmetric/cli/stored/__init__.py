"""Commands about scores that are there: ranked, planned with, explained, verified, cited."""
