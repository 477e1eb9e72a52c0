"""Process many clips in worker processes: a clip that kills its worker does not end the run.

Locally the workers are joblib's (loky); with a Dask scheduler they are the cluster's.
"""

import contextlib
import faulthandler
import functools
import itertools
import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from music_featurization import dask_cluster
from music_featurization.artifacts import PipelineError

CLIPS_PER_TASK = 8  # a clip of 29 s takes about 10 ms in step 1, handing over a task about 1 ms
TIME_LIMIT = 120  # seconds; a 30-minute recording takes about 3
# joblib's helper process cleans up after workers that were ended, and warns about it.
QUIET_HELPER = "ignore:resource_tracker"
IDLE_SECONDS = 300  # after which a worker ends
MOST_FAILED_STARTS = 3  # of worker processes, one after the other
IS_WORKER = "MUSIC_FEATURIZATION_WORKER"  # an environment variable that is set in workers, local or of a cluster
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
ENVIRONMENT = dict.fromkeys((IS_WORKER, *THREADS), "1")  # of a local worker: libraries use one thread
DIED = "its process died: the decoder crashed, or memory ran out"
Function = Callable[[str], Any]
WORKER_DIED = (BrokenProcessPool, dask_cluster.WorkerDiedError)


def cores() -> int:
    """Return the number of cores that this process may use."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # without shared memory; `_require_processes` explains it
        import joblib

    return joblib.cpu_count()


def run(
    function: Function,
    clips: Iterable[str],
    *,
    jobs: int,
    time_limit: float = TIME_LIMIT,
    clips_per_task: int = CLIPS_PER_TASK,
    dask: str | None = None,
    prepare: Callable[[], object] | None = None,
) -> Iterator[tuple[str, Any]]:
    """Call `function(clip)` for every clip, in worker processes, in no particular order.

    Parameters
    ----------
    function : callable
        Importable by name; takes one clip and returns its result, or the reason (str) why it failed. It may be called
        again for a clip that was interrupted.
    clips : iterable of str
        Consumed as it is needed.
    jobs : int
        Number of worker processes; ignored with `dask`.
    time_limit : float
        Seconds after which a clip's worker is killed.
    clips_per_task : int
        Number of clips that a worker gets at a time: 1 if a clip takes long, so that no worker has many while others
        have none.
    dask : str, optional
        Address of a Dask scheduler, such as `tcp://host:8786`.
    prepare : callable, optional
        Called without arguments in every new local worker, such as to load a large library.

    Yields
    ------
    clip : str
    result : object
        What `function` returned, or the way in which the clip ended its worker (str).
    """
    do = functools.partial(_do_task, function, time_limit)

    def do_all(tasks: Iterator) -> Iterator:
        return dask_cluster.results(dask, do, tasks) if dask else _local_results(jobs, do, tasks, prepare)

    clips, broken, failed_starts = iter(clips), True, 0
    unfinished: set[str] = set()
    while broken:
        broken = False
        try:
            yield from _in_parallel(do_all, clips, clips_per_task, unfinished)
        except WORKER_DIED:
            broken = True
            failed_starts = 0 if unfinished else failed_starts + 1  # without clips, none is the reason
            if failed_starts == MOST_FAILED_STARTS:
                raise PipelineError(
                    "Worker processes end as soon as they start, perhaps because memory is short. Give fewer --jobs, "
                    "or close other programs, and run the same command again."
                ) from None
        for clip in sorted(unfinished):  # which of them ended the worker is not known: each is tried again alone
            yield clip, _alone(do_all, clip, time_limit)
            unfinished.discard(clip)


def end_workers() -> None:
    """End the idle workers, which wait for another loop; a script calls this last.

    Otherwise Python waits for them when it ends; for ever if one of them was killed meanwhile.
    """
    for worker in multiprocessing.active_children():
        worker.terminate()
    for executor in _running:  # of a loop whose end was interrupted
        executor.shutdown(kill_workers=True)
    _end_idle()


def _in_parallel(
    do_all: Callable, clips: Iterator[str], clips_per_task: int, unfinished: set[str]
) -> Iterator[tuple[str, Any]]:
    """Divide the clips into tasks and yield their results; `unfinished` are the clips of tasks that have begun."""

    def tasks():
        while True:
            task = list(itertools.islice(clips, clips_per_task))
            unfinished.update(task)
            if not task:
                return
            yield task

    for clip, result in itertools.chain.from_iterable(do_all(tasks())):
        unfinished.discard(clip)
        yield clip, result


def _alone(do_all: Callable, clip: str, time_limit: float) -> Any:
    """Do one clip while no other worker is busy, so that a death can be attributed to the clip."""
    began = time.monotonic()
    try:
        return dict(_in_parallel(do_all, iter([clip]), 1, set()))[clip]
    except WORKER_DIED:
        too_long = time.monotonic() - began >= time_limit
        return f"no end after {time_limit:g} s" if too_long else DIED


def _local_results(jobs: int, do: Callable, tasks: Iterable, prepare: Callable | None) -> Iterator:
    """Yield `do(task)` of every task, from worker processes of this machine."""
    _require_processes()
    filters = [text for text in os.environ.get("PYTHONWARNINGS", "").split(",") if text not in ("", QUIET_HELPER)]
    os.environ["PYTHONWARNINGS"] = ",".join([*filters, QUIET_HELPER])  # inherited
    executor = _executor(jobs, prepare)
    pending: set[Future] = set()
    _running.append(executor)
    try:
        with _ctrl_c_delayed():  # loky interrupted while it starts them prints tracebacks, or hangs
            executor.submit(int).result()
        for task in tasks:
            with _ctrl_c_delayed():
                pending.add(executor.submit(do, task))
            while len(pending) > jobs:  # one task waits for the first worker that is free
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in as_completed(pending))
    except BaseException:  # interrupted, or a worker died
        executor.shutdown(kill_workers=True)
        raise
    finally:
        _running.remove(executor)
    with _lock:
        _end_idle()
        _idle.append((jobs, prepare, executor))


# Executors, each of one loop at a time: several threads may have loops.
_lock = threading.Lock()  # of _idle
_running: list = []
_idle: list[tuple] = []  # the executor of the last loop, after its options; its workers wait for another loop


def _executor(jobs: int, prepare: Callable | None) -> Any:
    """Return the executor of the last loop if it has the same options, else a new one."""
    from joblib.externals import loky  # joblib.Parallel would run a single job in this process

    with _lock:
        if _idle and _idle[0][:2] == (jobs, prepare):
            return _idle.pop()[2]
        _end_idle()
    start: dict[str, Any] = {"initializer": _prepare_worker, "initargs": (os.getpid(), prepare), "env": ENVIRONMENT}
    return loky.ProcessPoolExecutor(jobs, timeout=IDLE_SECONDS, **start)


def _end_idle() -> None:
    while _idle:
        _, _, executor = _idle.pop()
        executor.shutdown(kill_workers=True)


def _require_processes() -> None:
    """Raise a PipelineError if joblib would do the work in this very process, where a crash would end the run."""
    import joblib

    if joblib.effective_n_jobs(2) < 2:
        raise PipelineError(
            "Worker processes cannot be started on this machine. Unset JOBLIB_MULTIPROCESSING if it is 0; otherwise "
            "shared memory is missing: mount /dev/shm (Docker: --shm-size) and run the same command again."
        )


@contextlib.contextmanager
def _ctrl_c_delayed() -> Iterator[None]:
    """Delay Ctrl-C to the end of the block; processes that start in it never receive it."""
    received: list[bool] = []
    handler = None
    if threading.current_thread() is threading.main_thread():  # the only one that Ctrl-C interrupts
        handler = signal.signal(signal.SIGINT, lambda *_: received.append(True))
    if masks := hasattr(signal, "pthread_sigmask"):  # not on Windows
        multiprocessing.resource_tracker.ensure_running()  # up to Python 3.11, starting it later would end the mask
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # inherited
    try:
        yield
    finally:
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        if received:
            signal.raise_signal(signal.SIGINT)


def _do_task(function: Function, time_limit: float, clips: list[str]) -> list[tuple[str, Any]]:
    """In the worker: call `function` for a few clips, each under the time limit."""
    os.environ[IS_WORKER] = "1"
    done = []
    for clip in clips:
        # A C thread that needs no lock of ours: it ends the process even while a decoder hangs.
        with open(os.devnull, "w") as nowhere:
            faulthandler.dump_traceback_later(time_limit, exit=True, file=nowhere)
            try:
                done.append((clip, function(clip)))
            finally:
                faulthandler.cancel_dump_traceback_later()
    return done


def _prepare_worker(parent: int, prepare: Callable | None = None) -> None:
    """In a new worker: silence decoders, leave Ctrl-C to the parent, and end when the parent does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libmpg123 prints a line for each frame that it dislikes
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    if prepare:  # before the first task: joblib ends workers whose memory grows by 300 MB after it
        prepare()


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.25)
    os._exit(1)
