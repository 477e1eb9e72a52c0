"""Damage every artifact of a finished root in turn, and run every script that reads it: one line, no traceback."""

import os
import shutil

import damage
import pytest
import tiny_results
from tiny_pipeline import run_script

from music_featurization.artifacts import (
    FEATURIZE,
    FORMAT,
    MAP,
    PLOT,
    PREDICTION,
    REPORT,
    SIMILAR,
    STEP_1,
    STEP_2,
    STEP_3,
    STEP_4,
    TESTING,
    WALK,
    Artifacts,
)
from music_featurization.feature_tables import feature_table

CHECK = (STEP_1, "--check")
A_WALK = (WALK, "classical", "rock")
OWN = [(SIMILAR, "a.mp3", "--features", "{}"), (MAP, "--features", "{}")]
OWN_TABLE = (FEATURIZE, "{root}/datasets/mp3_files/0", "--model", "{model}", "--out")
OF_SPLIT = [CHECK, TESTING, FORMAT, PREDICTION, REPORT, MAP, A_WALK]

# Artifact, ways to damage it, the scripts that read it.
READERS = [
    ("datasets/annotations_final.csv", damage.of_any_file, [STEP_2]),
    ("datasets/spectrograms/settings.json", damage.of_json, [STEP_1, CHECK, (TESTING, "--overwrite"), REPORT]),
    ("datasets/spectrograms/failures.csv", damage.of_csv, [STEP_1]),
    ("datasets/spectrograms/0/*.npy", damage.of_npy, [CHECK, (TESTING, "--split", "all", "--overwrite")]),
    ("datasets/tagged_spectrograms.csv", damage.of_csv, [STEP_2, (STEP_3, "--overwrite"), CHECK]),
    ("datasets/tagged_spectrograms.json", damage.of_json, [STEP_2, CHECK, REPORT]),
    ("datasets/six_genres.csv", damage.of_csv, [STEP_3, (STEP_4, "--overwrite"), CHECK]),
    ("datasets/six_genres.json", damage.of_json, [STEP_3, STEP_4, CHECK, REPORT]),
    ("datasets/train_test_val/settings.json", damage.of_json, [STEP_4, *OF_SPLIT]),
    ("datasets/train_test_val/train.csv", damage.of_csv, [CHECK, PREDICTION, REPORT]),
    ("datasets/train_test_val/test.csv", damage.of_csv, OF_SPLIT),
    ("models/history.pkl", damage.of_pickle, [PLOT, TESTING, REPORT]),
    ("models/training.json", damage.of_json, [REPORT]),
    ("models/epoch_02_0.4100.h5", damage.of_model, [(TESTING, "--overwrite"), (*OWN_TABLE, "{root}/new.csv")]),
    ("results/testing.json", damage.of_json, [TESTING, FORMAT, PREDICTION, REPORT, MAP]),
    ("results/metrics.json", damage.of_json, [REPORT, PREDICTION]),
    ("results/prediction.npy", damage.of_npy, [PREDICTION, REPORT, MAP]),
    ("results/prediction_probabilities.npy", damage.of_npy, [PREDICTION, REPORT]),
    ("results/music_dataset_testing.csv", lambda content: damage.of_csv(content, header=False), [FORMAT, PREDICTION]),
    ("results/music_dataset_testing.npz", damage.of_npz, [MAP, A_WALK]),
    ("results/music_dataset.npz", damage.of_npz, [FORMAT, (MAP, "--features", "{}")]),
    ("results/style_space_music_dataset_testing.npz", damage.of_npz, [MAP, A_WALK]),
    ("results/features.csv", damage.of_csv, [*OWN, (*OWN_TABLE, "{}")]),
    ("results/features.npz", damage.of_npz, [*OWN, (*OWN_TABLE, "{}")]),
    ("results/features.parquet", damage.of_any_file, OWN),
]  # fmt: skip


def call(script, root, path=""):
    """Run a script with its arguments; return the exit status."""
    script, *args = [script] if isinstance(script, str) else script
    model = root / "models/epoch_02_0.4100.h5"
    return run_script(script, root, *(arg.format(path, root=root, model=model) for arg in args))


@pytest.fixture(scope="module")
def finished(_finished_root, tmp_path_factory):
    """A root in which every script has run, with tables of tracks in every format."""
    artifacts = Artifacts(shutil.copytree(_finished_root, tmp_path_factory.mktemp("damaged") / "root"))
    artifacts.training_settings.write_text('{"settings": {"network": "crnn"}, "versions": {"keras": "3"}}')
    paths = [f"{letter}.mp3" for letter in "abcdef"]
    table = tiny_results.make_track_table(paths, artifacts.results, 512, ("jazz", "rock"))
    for ending in feature_table.FORMATS:
        feature_table.write(artifacts.results / f"features{ending}", table)
    for script in (REPORT, MAP):
        assert call(script, artifacts.root) == 0
    return artifacts.root


def outcome(reader, root, path, capfd):
    """Run a script on a damaged root; return what is wrong with how it ended, None if nothing is."""
    capfd.readouterr()
    try:
        status = call(reader, root, path)
    except Exception as error:
        return repr(error)[:200]
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    expected = status != 0 and not (reader == CHECK and not errors)  # which lists on stdout what is wrong
    if status not in (0, 1, 2) or len(errors) != expected or any(len(line) > 900 for line in errors):
        return status, errors
    return None


@pytest.mark.parametrize("artifact, ways, readers", READERS, ids=[artifact for artifact, *_ in READERS])
def test_damage_gives_one_line(finished, tmp_path, capfd, artifact, ways, readers, request):
    good = min(finished.glob(artifact))
    damaged, wrong = list(ways(good.read_bytes()).items()), []
    # A part of the damage, another part for each reader.
    every = 1 if request.config.getoption("--thorough") else max(1, len(damaged) // 4)
    for number, reader in enumerate(readers):
        for name, content in damaged[number % every :: every]:
            root = tmp_path / "root"
            shutil.copytree(finished, root, copy_function=os.link)  # scripts replace files, they never write into them
            path = root / good.relative_to(finished)
            path.unlink()
            path.write_bytes(content)
            if problem := outcome(reader, root, path, capfd):
                wrong.append((name, reader, problem))
            shutil.rmtree(root)
    assert not wrong, "\n".join(map(str, [len(wrong), *wrong[:20]]))
