"""The claims about speed, memory and exactness: each one command that compares with a named peer in the same run."""
