"""The sample estate and the stories that are played on it."""
