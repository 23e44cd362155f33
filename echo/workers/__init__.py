"""Several processes for one address: a parent that listens, and workers that serve.

`Supervisor` runs in the parent, `ParentLink` in each worker. Where to look: `supervisor` starts, replaces and drains
workers; `placement` chooses the worker for a connection; `worker` is one worker as its parent sees it; `channel` and
`messages` are how parent and worker talk; `starting` starts a process; `cpus` says how many workers there should be.
"""

from echo.workers.cpus import usable_cpus
from echo.workers.parent_link import CHANNEL, Feed, ParentLink
from echo.workers.supervisor import NoWorkersError, Supervisor
from echo.workers.worker import WorkerExitedError

__all__ = ["CHANNEL", "Feed", "NoWorkersError", "ParentLink", "Supervisor", "WorkerExitedError", "usable_cpus"]
