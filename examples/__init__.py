"""Programs to learn from. Each is one file and is run by the tests."""
