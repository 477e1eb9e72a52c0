"""Reading training histories, also hostile ones and those of Python 2, and drawing them."""

import pickle
import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_pipeline import load_script
from tiny_results import make_history

from music_featurization.artifacts import Artifacts, PipelineError
from music_featurization.network import history

plot = load_script("results_utils/plot_loss_accuracy_curves.py").main


@pytest.fixture
def where(tmp_path):
    return Artifacts(tmp_path)


def read_pickled(where, content, **options):
    where.models.mkdir(exist_ok=True)
    where.history.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, **options))
    return history.read(where.history)


def draw(where):
    plot(["--root", str(where.root)])


def python2_pickle(values):
    """What `pickle.dump({'loss': [numpy.float64, ...], 'val_loss': [float]}, file, 2)` writes under Python 2."""
    scalar = b"cnumpy.core.multiarray\nscalar\n"
    dtype = b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    numbers = b"".join(scalar + dtype + b"U\x08" + struct.pack("<d", value) + b"\x86R" for value in values)
    return b"\x80\x02}(U\x04loss](" + numbers + b"eU\x08val_loss](G" + struct.pack(">d", 0.25) + b"eu."


PYTHON2_TEXT = b"(dp0\nS'loss'\np1\n(lp2\nF1.5\naF0.5\nasS'val_loss'\np3\n(lp4\nF0.25\nas."  # its default protocol


def test_histories_of_python_2(where):
    # The bytes of these doubles are above 127: they need latin1.
    assert read_pickled(where, python2_pickle([0.1, -2.5e-7])) == {"loss": [0.1, -2.5e-7], "val_loss": [0.25]}
    single = python2_pickle([0.5]).replace(b"f8", b"f4").replace(b"U\x08" + struct.pack("<d", 0.5), b"U\x04\0\0\0?")
    assert read_pickled(where, single) == {"loss": [0.5], "val_loss": [0.25]}
    assert read_pickled(where, PYTHON2_TEXT) == {"loss": [1.5, 0.5], "val_loss": [0.25]}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(where, protocol):
    content = {"loss": [1.5, 1], "val_loss": (0.5, True)}
    assert read_pickled(where, content, protocol=protocol) == {"loss": [1.5, 1.0], "val_loss": [0.5, 1.0]}


def test_what_is_not_a_list_of_numbers_is_passed_over(where):
    odd = {"loss": [1.0], "lr": 0.1, "name": "abc", "text": ["a"], "none": [None], "empty": [], "map": {1: 2}, 3: [1.0]}
    assert read_pickled(where, odd) == {"loss": [1.0]}
    for content in ({}, {"lr": 0.1}, [1.0], "text", None):
        with pytest.raises(PipelineError, match="no list of numbers"):
            read_pickled(where, content)


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_pickles_that_name_code_are_refused_and_not_run(where, tmp_path):
    victim = tmp_path / "victim"
    code = Call(eval, f"open({str(victim)!r}, 'w')")
    for bomb in (code, Call(np.load, str(victim)), Call(np.dtype, "O"), np.array([1.0, code], dtype=object)):
        for protocol in (0, 2, 4):
            with pytest.raises(PipelineError, match="no place in a training history"):
                read_pickled(where, {"loss": [bomb]}, protocol=protocol)
    assert not victim.exists()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.builds(lambda n, b: python2_pickle([0.1])[:n] + b, st.integers(0, 150), st.binary()))
def test_no_bytes_do_worse_than_a_clear_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any_history.pkl"
    path.write_bytes(content)
    try:
        assert isinstance(history.read(path), dict)
    except PipelineError as error:
        assert "any_history.pkl" in str(error)


def test_best_epoch_is_that_of_lowest_finite_validation_loss():
    nan, inf = float("nan"), float("inf")
    assert history.best_epoch({"val_loss": [nan, 2.0, 1.0, 1.0, inf]}) == 3
    assert history.ranked_epochs({"val_loss": [nan, 2.0, 1.0, 1.0, inf]}) == [3, 4, 2]
    assert history.best_epoch({"val_loss": [nan]}) is None
    assert history.best_epoch({"loss": [1.0]}) is None


def test_curves_are_drawn_and_repeat_byte_for_byte(where, capsys):
    make_history(where, [1.5, 1.2, 1.3])
    (where.models / "epoch_02_0.4100.h5").touch()
    draw(where)
    out = capsys.readouterr().out
    assert "best epoch: 2 of 3 (validation loss 1.2000, accuracy 0.4100, balanced accuracy 0.3100)" in out
    assert out.rstrip().endswith("epoch_02_0.4100.h5")
    paths = [where.results / "loss.svg", where.results / "accuracy.svg"]
    first = [path.read_bytes() for path in paths]
    assert all(content.startswith(b"<?xml") and b"<dc:date>" not in content for content in first)
    draw(where)
    assert [path.read_bytes() for path in paths] == first


def colours(where, name):
    from music_featurization.evaluation import figures

    text = (where.results / f"{name}.svg").read_text().lower()
    names = {"training": figures.TRAINING, "validation": figures.VALIDATION, "balanced": figures.BALANCED}
    return {name for name, colour in names.items() if re.search(f"stroke: {colour.lower()}", text)}


def test_each_list_is_a_line_of_its_own(where):
    history = make_history(where, [1.5, 1.2, 1.3])
    draw(where)
    assert colours(where, "loss") == {"training", "validation"}
    assert colours(where, "accuracy") == {"training", "validation", "balanced"}
    for key in ("val_balanced_accuracy", "val_loss"):
        history.pop(key)
    where.history.write_bytes(pickle.dumps(history))
    draw(where)
    assert colours(where, "loss") == {"training"}
    assert colours(where, "accuracy") == {"training", "validation"}


def test_missing_keys_are_named_and_the_rest_is_drawn(where, capsys):
    make_history(where, [1.0])
    draw(where)
    read_pickled(where, {"val_categorical_accuracy": [0.5, 0.6]})
    capsys.readouterr()
    draw(where)
    out = capsys.readouterr().out
    assert "has no loss, val_loss, categorical_accuracy: drawn without" in out
    assert "best epoch: unknown" in out
    assert not (where.results / "loss.svg").exists()  # the old one would be of another training
    assert (where.results / "accuracy.svg").exists()


def test_history_without_any_known_key_is_an_error(where):
    read_pickled(where, {"lr": [0.1]})
    with pytest.raises(PipelineError, match=r"none of loss, val_loss.*1-training\.py"):
        draw(where)


@pytest.mark.parametrize("epochs", [1, 100, 1000])
def test_any_number_of_epochs_with_gaps(where, epochs):
    losses = np.linspace(2, 1, epochs).tolist()
    losses[epochs // 2] = float("nan") if epochs > 1 else 1.0
    make_history(where, losses, val_categorical_accuracy=[0.5])  # one list shorter than the others
    draw(where)
    assert colours(where, "loss") == {"training", "validation"}
