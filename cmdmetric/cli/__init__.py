"""The commands: they parse, call one function of the Python API, and print."""
