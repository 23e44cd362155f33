"""Metrics and traces, imported only if they are enabled; `tracing.environment` finds out whether traces are.

Counting costs next to nothing: plain integers, most of which exist for other reasons, and bucket counts. A *snapshot*
adds up ended and open calls. It is plain data: it can be sent to another process, merged with others, and rendered.

Where to look: `names` lists the metrics, each an `instrument`; `snapshot` is the data; `series` counts; `server`,
`client`, `web` and `process` say what is counted; `meters` puts them together; `prometheus` renders them, `endpoint`
serves them, `push` and `otlp` push them. `tracing` has the traces.
"""
