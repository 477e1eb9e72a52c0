"""Test reading training histories, also hostile ones and those of Python 2, and drawing them."""

import pickle
import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_pipeline import call_script, refused
from tiny_results import make_history

from music_featurization.artifacts import PLOT, Artifacts, PipelineError
from music_featurization.evaluation import figures
from music_featurization.network import history


@pytest.fixture
def artifacts(tmp_path):
    return Artifacts(tmp_path)


def read_pickled(artifacts, content, **options):
    artifacts.models.mkdir(exist_ok=True)
    artifacts.history.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, **options))
    return history.read(artifacts.history)


def python2_pickle(values):
    """Return what `pickle.dump({'loss': [numpy.float64, ...], 'val_loss': [float]}, file, 2)` writes in Python 2."""
    scalar = b"cnumpy.core.multiarray\nscalar\n"
    dtype = b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    numbers = b"".join(scalar + dtype + b"U\x08" + struct.pack("<d", value) + b"\x86R" for value in values)
    return b"\x80\x02}(U\x04loss](" + numbers + b"eU\x08val_loss](G" + struct.pack(">d", 0.25) + b"eu."


PYTHON2_TEXT = b"(dp0\nS'loss'\np1\n(lp2\nF1.5\naF0.5\nasS'val_loss'\np3\n(lp4\nF0.25\nas."  # its default protocol


def test_histories_of_python_2(artifacts):
    # The bytes of these doubles are above 127: they need latin1.
    assert read_pickled(artifacts, python2_pickle([0.1, -2.5e-7])) == {"loss": [0.1, -2.5e-7], "val_loss": [0.25]}
    single = python2_pickle([0.5]).replace(b"f8", b"f4").replace(b"U\x08" + struct.pack("<d", 0.5), b"U\x04\0\0\0?")
    assert read_pickled(artifacts, single) == {"loss": [0.5], "val_loss": [0.25]}
    assert read_pickled(artifacts, PYTHON2_TEXT) == {"loss": [1.5, 0.5], "val_loss": [0.25]}


def test_only_lists_of_numbers_are_read(artifacts):
    odd = {"loss": (1, True), "lr": 0.1, "name": "abc", "text": ["a"], "none": [None], "map": {1: 2}, 3: [1], "e": []}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert read_pickled(artifacts, odd, protocol=protocol) == {"loss": [1.0, 1.0]}
    for content in ({}, {"lr": 0.1}, [1.0], "text", None):
        with pytest.raises(PipelineError, match="no list of numbers"):
            read_pickled(artifacts, content)


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_pickles_that_name_code_are_refused_and_not_run(artifacts, tmp_path):
    victim = tmp_path / "victim"
    code = Call(eval, f"open({str(victim)!r}, 'w')")
    for bomb in (code, Call(np.load, str(victim)), Call(np.dtype, "O"), np.array([1.0, code], dtype=object)):
        for protocol in (0, 2, 4):
            with pytest.raises(PipelineError, match="no place in a training history"):
                read_pickled(artifacts, {"loss": [bomb]}, protocol=protocol)
    assert not victim.exists()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.builds(lambda n, b: python2_pickle([0.1])[:n] + b, st.integers(0, 150), st.binary()))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any_history.pkl"
    path.write_bytes(content)
    try:
        assert isinstance(history.read(path), dict)
    except PipelineError as error:
        assert "any_history.pkl" in str(error)


def test_best_epoch_has_the_lowest_finite_validation_loss():
    nan, inf = float("nan"), float("inf")
    assert history.ranked_epochs({"val_loss": [nan, 2.0, 1.0, 1.0, inf]}) == [3, 4, 2]
    assert history.best_epoch({"val_loss": [nan, 2.0, 1.0]}) == 3
    assert history.best_epoch({"val_loss": [nan]}) is history.best_epoch({"loss": [1.0]}) is None


# Curves


def colours(artifacts, name):
    """Return the curves that a picture contains, by their colours."""
    text = artifacts.curve(name).read_text().lower()
    names = {"training": figures.TRAINING, "validation": figures.VALIDATION, "balanced": figures.BALANCED}
    return {name for name, colour in names.items() if re.search(f"stroke: {colour.lower()}", text)}


def test_curves_are_drawn(artifacts, capsys):
    make_history(artifacts, [1.5, 1.2, 1.3])
    (artifacts.models / "epoch_02_0.4100.h5").touch()
    call_script(PLOT, artifacts)
    out = capsys.readouterr().out
    assert "best epoch: 2 of 3 (validation loss 1.2000, accuracy 0.4100, balanced accuracy 0.3100)" in out
    assert out.rstrip().endswith("epoch_02_0.4100.h5")
    assert all("<dc:date>" not in artifacts.curve(name).read_text() for name in ("loss", "accuracy"))
    assert colours(artifacts, "loss") == {"training", "validation"}
    assert colours(artifacts, "accuracy") == {"training", "validation", "balanced"}


def test_missing_lists_are_named_and_the_others_drawn(artifacts, capsys):
    lists = make_history(artifacts, [1.5, 1.2, 1.3])
    read_pickled(artifacts, {key: lists[key] for key in ("loss", "categorical_accuracy", "val_categorical_accuracy")})
    call_script(PLOT, artifacts)
    assert colours(artifacts, "loss") == {"training"}
    assert colours(artifacts, "accuracy") == {"training", "validation"}
    read_pickled(artifacts, {"val_categorical_accuracy": [0.5, 0.6]})
    capsys.readouterr()
    call_script(PLOT, artifacts)
    out = capsys.readouterr().out
    assert "has no loss, val_loss, categorical_accuracy: drawn without" in out and "best epoch: unknown" in out
    assert not artifacts.curve("loss").exists()  # the old one would be of another training
    assert artifacts.curve("accuracy").exists()
    read_pickled(artifacts, {"lr": [0.1]})
    assert re.search(r"none of loss, val_loss.*1-training\.py", refused(PLOT, artifacts))


@pytest.mark.parametrize("epochs", [1, 1000])
def test_any_number_of_epochs_with_gaps(artifacts, epochs):
    losses = np.linspace(2, 1, epochs).tolist()
    losses[epochs // 2] = float("nan") if epochs > 1 else 1.0
    make_history(artifacts, losses, val_categorical_accuracy=[0.5])  # one list shorter than the others
    call_script(PLOT, artifacts)
    assert colours(artifacts, "loss") == {"training", "validation"}
