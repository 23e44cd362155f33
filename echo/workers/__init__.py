"""Several processes for one address: a parent that listens, and workers that serve.

`Crew` is the parent, `Membership` the other side, in a worker's process. Where to look: `crew` how workers are started,
replaced and drained, `placement` which one gets a connection, `worker` one of them as the parent sees it, `channel` and
`messages` how the two talk, `cpus` how many there should be.
"""

from echo.workers.cpus import usable_cpus
from echo.workers.crew import Crew, NoWorkersError
from echo.workers.membership import CHANNEL, Feed, Membership
from echo.workers.worker import WorkerExitedError

__all__ = ["CHANNEL", "Crew", "Feed", "Membership", "NoWorkersError", "WorkerExitedError", "usable_cpus"]
