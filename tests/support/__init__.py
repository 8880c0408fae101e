"""What several tests share: made inputs, golden data, runs of the commands."""
