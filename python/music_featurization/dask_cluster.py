"""Process clips on a Dask cluster. Any failure of the cluster ends the run with one line, within 30 s."""

import contextlib
import itertools
import logging
import pickle
import queue
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from music_featurization.artifacts import PipelineError

if TYPE_CHECKING:
    import distributed

SECONDS_TO_WAIT = 20  # for the scheduler, and for a worker; a worker that died is started again within a few
SECONDS_OF_SILENCE = 5  # without a result, after which the workers are counted
START = "Start some: dask worker {} --nworkers auto --nthreads 1"
INSTALL = "Install the project there (pip install -r requirements-cluster.txt) and start it again."


class WorkerDiedError(Exception):
    """Tasks have ended their workers so often that Dask gave them up."""


def results(address: str, do: Callable, tasks: Iterator) -> Iterator:
    """Yield `do(task)` for every task, in no particular order, from the workers of the scheduler at an address.

    On the workers this project must be installed, and its data at the same paths. `do` must be picklable.

    Raises
    ------
    PipelineError
        If Dask is not installed, the scheduler does not answer, or no worker can do this work.
    WorkerDiedError
        After all other results, if tasks ended their workers.
    """
    pickled = pickle.dumps(do)

    def by_value(task):  # Dask pickles the code of a nested function: the scheduler does without the project
        return pickle.loads(pickled)(task)

    with _connect(address) as client:
        workers = _require_workers(client, address, pickled)
        yield from _results(client, address, by_value, tasks, at_a_time=2 * workers)


@contextlib.contextmanager
def _connect(address: str) -> "Iterator[distributed.Client]":
    """Connect to a scheduler while the block runs; raise a PipelineError if that is impossible."""
    try:
        import distributed
    except ImportError as error:
        raise PipelineError(
            "--dask needs Dask on this machine and every worker: pip install -r requirements-cluster.txt"
        ) from error
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # exceptions report the same
    try:
        client = distributed.Client(address, timeout=SECONDS_TO_WAIT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise PipelineError(f"No Dask scheduler answers at {address} ({error}). Start one: dask scheduler") from error
    try:
        yield client
    finally:
        client.close(timeout=2)


def _require_workers(client: "distributed.Client", address: str, pickled: bytes) -> int:
    """Return the number of workers; raise a PipelineError if there are none, or some cannot do this work."""

    def problem():  # nested, so that it can be sent to a worker without the project
        try:
            pickle.loads(pickled)
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    _wait_for_worker(client, address)
    try:
        if max(client.nthreads().values()) > 1:  # the time limit ends a process, and all clips of its threads with it
            raise PipelineError(f"Dask workers must have one thread each. {START.format(address)}")
        reasons = client.run(problem, on_error="return")
    except (OSError, ValueError) as error:  # the last worker died, or the scheduler
        raise _lost(address) from error
    for worker, reason in reasons.items():
        if reason:
            raise PipelineError(f"The Dask worker {worker} cannot do this work ({reason}). {INSTALL}")
    return len(reasons)


def _wait_for_worker(client: "distributed.Client", address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=SECONDS_TO_WAIT)
    except TimeoutError as error:
        raise PipelineError(f"The Dask scheduler at {address} has no workers. {START.format(address)}") from error
    except (OSError, ValueError) as error:
        raise _lost(address) from error


def _lost(address: str) -> PipelineError:
    return PipelineError(
        f"The connection to the Dask scheduler at {address} was lost. Start it again and run the same command; what "
        "was finished is kept."
    )


def _results(client: "distributed.Client", address: str, do: Callable, tasks: Iterator, at_a_time: int) -> Iterator:
    """Submit tasks, so many at a time, and yield each result as it arrives; see `results`."""
    import distributed

    done: queue.SimpleQueue = queue.SimpleQueue()
    running, died = {}, False

    def submit(number):
        for task in itertools.islice(tasks, number):
            future = client.submit(do, task, pure=False)
            running[future.key] = future
            future.add_done_callback(done.put)

    submit(at_a_time)
    while running:
        future = running.pop(_next(done, client, address).key)
        if future.status in ("cancelled", "lost"):
            raise _lost(address)
        error = future.exception()
        if isinstance(error, distributed.scheduler.KilledWorker):
            died = True
        elif isinstance(error, ImportError):
            raise PipelineError(f"A Dask worker cannot do this work ({error}). {INSTALL}") from error
        elif error:
            raise error
        else:
            yield future.result()
        submit(1)
    if died:
        raise WorkerDiedError


def _next(done: queue.SimpleQueue, client: "distributed.Client", address: str) -> "distributed.Future":
    """Return the next future that is done; raise a PipelineError if there is no worker any more."""
    while True:
        try:
            return done.get(timeout=SECONDS_OF_SILENCE)
        except queue.Empty:
            _wait_for_worker(client, address)
