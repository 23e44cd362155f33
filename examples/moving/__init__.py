"""The same programs with grpclib, grpcio and echo, side by side; the tests run each of them."""
