"""The machines: what they are, what happens to them, what runs on them, and the people at them."""
