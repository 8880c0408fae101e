"""The command `grgan`: it parses, calls one function, and prints."""
