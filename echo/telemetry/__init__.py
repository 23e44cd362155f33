"""Metrics and traces, loaded only where somebody asks for them; `tracing.environment` finds out whether anybody does.

Counting costs next to nothing: plain integers, most of which are there for other reasons, and bucket counts. A
*snapshot* adds up what has ended and what is still open. It is plain data: it can be sent to another process, merged
with those of others, and rendered.

Where to look: `names` lists the metrics, `snapshot` is the data, `series` counts, `server`, `client`, `web` and
`process` say what is counted, `meters` puts them together, `prometheus` writes them, `endpoint` serves them, `push` and
`otlp` push them. `tracing` has a room of its own.
"""
