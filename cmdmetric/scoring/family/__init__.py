"""The family of metrics beside CMD: a file for metrics of one kind, and the catalogue of all."""
