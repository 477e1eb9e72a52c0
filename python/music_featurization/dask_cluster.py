"""joblib on a Dask cluster: connecting, and what joblib's own backend leaves undone."""

import concurrent.futures
import contextlib

from music_featurization.artifacts import PipelineError

SECONDS_TO_WAIT = 30  # for the scheduler, and for a first worker


@contextlib.contextmanager
def connect(address):
    """Connect to a Dask scheduler whose workers have this project installed and see its data at the same paths.

    Parameters
    ----------
    address : str
        Such as `tcp://host:8786`.

    Yields
    ------
    joblib backend
        For `joblib.parallel_config(backend=...)`.

    Raises
    ------
    PipelineError
        If Dask is not installed, no scheduler answers, it has no workers, or workers that cannot do this work.
    """
    try:
        import distributed
    except ImportError as error:
        raise PipelineError(
            "--dask needs Dask on this machine and every worker: pip install -r requirements-cluster.txt"
        ) from error
    try:
        client = distributed.Client(address, timeout=SECONDS_TO_WAIT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise PipelineError(f"No Dask scheduler answers at {address} ({error}). Start one: dask scheduler") from error
    with client:
        _prepare(client, address)
        yield _backend(client)


def _prepare(client, address):
    """Wait for a worker; refuse workers with several threads."""
    start = f"dask worker {address} --nworkers auto --nthreads 1"
    try:
        client.wait_for_workers(1, timeout=SECONDS_TO_WAIT)
    except TimeoutError as error:
        raise PipelineError(f"The Dask scheduler at {address} has no workers. Start some: {start}") from error
    if max(client.nthreads().values()) > 1:  # the time limit ends a process, and with it all its threads' clips
        raise PipelineError(f"Dask workers must have one thread each. Start them so: {start}")


def _backend(client):
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        """joblib's, but a task that Dask gave up raises, and nothing is ever done in this very process."""

        def effective_n_jobs(self, n_jobs):
            return max(2, super().effective_n_jobs(n_jobs))  # joblib does the work of a single worker itself

        def submit(self, func, callback=None):
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: callback(done) if done.exception() else None)
            return future

        def retrieve_result_callback(self, out):
            if isinstance(out, concurrent.futures.Future):
                raise out.exception()
            return super().retrieve_result_callback(out)

    return Backend(client=client)
