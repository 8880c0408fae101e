"""Files of moments: sets and shards that are made, and put together."""
