"""The same programs for grpclib, for grpcio and for echo, side by side; the tests run each of them."""
