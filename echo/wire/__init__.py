"""gRPC over HTTP/2 as events and bytes: sans-IO, synchronous, ignorant of any event loop."""
