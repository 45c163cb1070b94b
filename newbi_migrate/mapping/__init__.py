"""Old to new: pure functions with no input or output."""
