"""Every script is killed before and after each change of a file and run again: the same bytes as without a kill.

The changes are replaced and removed files.
"""

import contextlib
import os
import re
import shutil
from dataclasses import dataclass

import numpy as np
import pytest
import tiny_results
from tiny_music import music, write_mp3
from tiny_pipeline import contents, run_script

from music_featurization import artifacts, file_lock, workers
from music_featurization.feature_tables import featurize
from music_featurization.network import embeddings, keras_backend, networks, prediction

MODEL, OTHER_MODEL = "models/epoch_02_0.4100.h5", "models/other.h5"
OWN = ("{root}/own", "--model", "{root}/" + MODEL, "--out", "{root}/own.csv", "--jobs", "1")
FEW_CLIPS = ("datasets/mp3_files/[1-9a-f]", "datasets/spectrograms/[1-9a-f]")
TESTED = ("results/testing.json", "results/prediction*.npy", "results/music_dataset_testing.*")
MAPPED = ("results/style_space*",)
REPORTED = ("results/res.txt", "results/conf_matr.*", "results/metrics.json")
TINY = ("--weights", "none")
HALF = (*TINY, "--epochs", "3", "--keep", "best", "--precision", "mixed_float16")
DATE = re.compile(rb'"date": "[0-9-]+"')


@dataclass
class Case:
    """A command that is killed, and the one that is run after it."""

    script: str
    args: tuple = ()
    removed: tuple = ()  # from the finished root, so that there is something to do
    then: tuple | None = None  # other arguments of the second run
    kills: int = 2  # at least so many
    fixture: str | None = None  # what replaces the slow parts


CASES = {
    "step 1": Case(artifacts.STEP_1, ("--jobs", "1"), (*FEW_CLIPS, "datasets/spectrograms"), kills=8),
    "step 1 overwrites": Case(artifacts.STEP_1, ("--jobs", "1", "--overwrite"), FEW_CLIPS, ("--jobs", "1"), 15),
    "step 2": Case(artifacts.STEP_2, (), ("datasets/tagged_spectrograms.*",), kills=4),
    "step 2 overwrites": Case(artifacts.STEP_2, ("--merge-synonyms", "--overwrite"), (), (), 5),
    "step 3": Case(artifacts.STEP_3, (), ("datasets/six_genres.*",), kills=4),
    "step 3 overwrites": Case(artifacts.STEP_3, ("--genres", "rock,classical", "--overwrite"), (), (), 5),
    "step 4": Case(artifacts.STEP_4, (), ("datasets/train_test_val",), kills=8),
    "step 4 overwrites": Case(artifacts.STEP_4, ("--split-by", "folder", "--overwrite"), (), (), 9),
    "1-training": Case(artifacts.TRAINING, (*TINY, "--epochs", "2"), ("models/*",), kills=14, fixture="trains"),
    "1-training keeps the best": Case(artifacts.TRAINING, HALF, ("models/*",), kills=20, fixture="trains"),
    "2-testing": Case(artifacts.TESTING, (), TESTED, kills=10),
    "2-testing overwrites": Case(artifacts.TESTING, ("--model", "{root}/" + OTHER_MODEL), (), (), 11),
    "2-testing embeds": Case(artifacts.TESTING, (), TESTED, kills=20, fixture="embeds"),
    "3-format_dataset": Case(artifacts.FORMAT, (), ("results/music_dataset.*",), kills=4),
    "3-format_dataset overwrites": Case(artifacts.FORMAT, ("--split", "val"), (), (), 5),
    "manage_prediction": Case(artifacts.PREDICTION, (), REPORTED, kills=8),
    "plot_loss_accuracy_curves": Case(artifacts.PLOT, (), ("results/loss.svg", "results/accuracy.svg"), kills=4),
    "plot_style_space": Case(artifacts.MAP, (), MAPPED, kills=6),
    "walk_style_space": Case(artifacts.WALK, ("classical", "rock"), ("results/walk_*", *MAPPED), kills=8),
    "make_report": Case(artifacts.REPORT, (), ("results/report.html",), kills=2),
    "featurize": Case(artifacts.FEATURIZE, OWN, ("own.*",), kills=8),
    "featurize overwrites": Case(artifacts.FEATURIZE, (*OWN, "--overwrite"), (), OWN, 8),
}


class Killed(BaseException):
    """The process is gone: not even clean-up code runs any more."""


@contextlib.contextmanager
def changes(kill_at=None, after=False):
    """Yield the list of the replaced and removed files; before or after the `kill_at`-th the process is dead."""
    changed = []

    def watched(change, counts):
        def change_or_die(*paths, **options):
            last = counts and len(changed) + 1 == kill_at
            if len(changed) == kill_at or (last and not after):
                changed.extend([paths] * last)
                raise Killed  # from now on nothing can be changed any more
            change(*paths, **options)  # one that fails, as with a file that is not there, does not count
            changed.extend([paths] * counts)
            if last:
                raise Killed

        return change_or_die

    open_and_lock, locks = file_lock._open_and_lock, []

    def remembered(*paths):
        locks.append(open_and_lock(*paths))
        return locks[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_lock, "_open_and_lock", remembered)
        if kill_at:
            patch.setattr(os, "getpid", lambda: 4194304)  # of no process: more than the kernel gives
        for name in ("replace", "unlink", "rmdir"):
            patch.setattr(os, name, watched(getattr(os, name), counts=name != "rmdir"))
        yield changed
    for lock in locks:
        lock.close()  # which ends it, as the end of a process does


@pytest.fixture(scope="module", autouse=True)
def in_this_process():
    """Do the workers' work in this process, track by track, and compile no network."""
    import tensorflow

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "run", lambda function, clips, **_: ((clip, function(clip)) for clip in clips))
        patch.setattr(featurize, "TRACKS_PER_PART", 1)
        tensorflow.config.run_functions_eagerly(True)
        yield
        tensorflow.config.run_functions_eagerly(False)


@pytest.fixture
def embeds(monkeypatch):
    """As if the network had the provided front end; the time that this takes is saved."""
    predict = prediction.predict

    def predict_spectrograms(model, files, *args, embedded, **options):
        assert embedded and all(np.load(file).shape == (1, 3) for file in files)
        return predict(model, [str(file).replace("embeddings", "spectrograms") for file in files], *args, **options)

    monkeypatch.setattr(networks, "has_provided_front_end", lambda record: True)
    monkeypatch.setattr(embeddings, "_embedder", lambda: None)
    monkeypatch.setattr(embeddings.front_end, "embed", lambda embedder, clip: np.zeros((1, 3)))
    monkeypatch.setattr(prediction, "predict", predict_spectrograms)


@pytest.fixture
def trains(monkeypatch):
    """Train a network that needs no compilation."""
    monkeypatch.setattr(
        networks, "build_network", lambda name, n_classes, **_: tiny_results.make_network(n_classes, name=name)
    )
    yield
    keras_backend.use_precision("float32")


def call(script, root, args):
    """Run a script as a process of its own would; returns the exit status."""
    artifacts._sweep.cache_clear()
    keras_backend.load_keras().utils.clear_session(free_memory=False)  # so that layers get the same names
    return run_script(script, root, *(arg.format(root=root) for arg in args))


@pytest.fixture(scope="module")
def finished(_finished_root, tmp_path_factory):
    """A root in which every script has run, also on recordings of one's own and on the validation part."""
    root = shutil.copytree(_finished_root, tmp_path_factory.mktemp("finished") / "root")
    for seconds in (4, 5):
        write_mp3(root / f"own/{seconds}.mp3", music(seconds))
    (root / "own/bad.mp3").write_bytes(b"no music" * 99)
    tiny_results.make_model(root / OTHER_MODEL, seed=2)
    for script, *args in ((artifacts.TESTING, "--split", "val"), (artifacts.FEATURIZE, *OWN)):
        assert call(script, root, args) == 0
    return root


def comparable(root):
    """Contents of a root; without the date of today in testing.json, because a test may run around midnight."""
    return {
        name: DATE.sub(b"", result) if name.endswith(".json") else result for name, result in contents(root).items()
    }


@pytest.mark.parametrize("name", CASES)
def test_killed_at_every_change_and_run_again(finished, tmp_path, name, request):
    case, start, root = CASES[name], tmp_path / "start", tmp_path / "root"
    if case.fixture:
        request.getfixturevalue(case.fixture)

    def restart(source):
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(source, root, copy_function=os.link)  # scripts replace files, they never write into them

    restart(finished)
    for path in [path for pattern in case.removed for path in root.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.move(root, start)

    restart(start)
    with changes() as changed:
        assert call(case.script, root, case.args) == 0
    number_of_changes, again = len(changed), case.args
    if case.then is not None:
        restart(start)
        again = case.then
        assert call(case.script, root, again) == 0
    expected = comparable(root)
    kills = [(number, after) for number in range(1, number_of_changes + 1) for after in (False, True)]
    if case.then is not None:
        kills.pop()  # after the last change the first command has done all, and the second may refuse its settings
    assert len(kills) >= case.kills
    for number, after in kills:
        restart(start)
        with changes(number, after), pytest.raises(Killed):
            call(case.script, root, case.args)
        assert call(case.script, root, again) == 0, (number, after)
        result = comparable(root)
        if case.then is not None:  # it may have had nothing to write, and only what writes into a folder sweeps it
            result = {path: content for path, content in result.items() if artifacts.UNFINISHED not in path}
        assert sorted(result) == sorted(expected), (number, after)
        assert [path for path in expected if result[path] != expected[path]] == [], (number, after)
