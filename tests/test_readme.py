"""The README's commands and examples run as they are written there."""

import re
import shlex
import shutil

import pytest
import soundfile
from tiny_music import SINGER
from tiny_pipeline import REPOSITORY, load_script

TEXT = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SCRIPTS = {
    path.name: path
    for folder in ("datasets_utils", "python", "results_utils", "extras")
    for path in (REPOSITORY / folder).rglob("*.py")
    if "music_featurization" not in path.parts
}
TRACKS = ("Wagner - Ride", "rock/crash", "rock/tender", "Ravel - Quartet", "Satie - Gymnopedie", "Bach - Fugue")


def blocks(*languages):
    return [text for language, text in BLOCK.findall(TEXT) if language in languages]


def mentioned_calls():
    """Yield each script that the README mentions, in blocks and in sentences, with the options beside it."""
    lines = [line for text in blocks("bash", "console") for line in text.splitlines()]
    lines += [line for line in TEXT.splitlines() if line.startswith("    ")]
    for line in lines + re.findall(r"`([^`\n]+)`", BLOCK.sub("", TEXT)):
        if call := re.search(r"([\w-]+\.py)\b([^#]*)", line):
            yield call[1], tuple(re.findall(r"(?<!\S)--[a-z][a-z-]*", call[2]))


def test_mentioned_scripts_and_options_exist(capsys):
    help_by_script = {}
    calls = set(mentioned_calls())
    assert len(calls) > 30
    for name, options in sorted(calls):
        assert name in SCRIPTS, f"the README mentions {name}"
        for option in options if "extras" not in SCRIPTS[name].parts else ():
            if name not in help_by_script:
                with pytest.raises(SystemExit):
                    load_script(SCRIPTS[name]).main(["--help"])
                help_by_script[name] = capsys.readouterr().out
            assert re.search(rf"(?<!\S){option}\b", help_by_script[name]), f"{name} has no {option}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the recordings that the examples name, where the commands on own music have been run in order."""
    pytest.importorskip("tf2onnx")
    folder = tmp_path_factory.mktemp("own")
    samples, rate = soundfile.read(SINGER)
    for number, name in enumerate(TRACKS):
        track = folder / "Music" / f"{name}.mp3"
        track.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(track, samples[number * rate : (number + 4) * rate], rate)
    for name in ("song.mp3", "one.mp3", "two.flac", "new recording.mp3"):
        shutil.copy(SINGER, folder / name)
    (folder / "models").symlink_to(REPOSITORY / "models")
    lines = [line[2:] for text in blocks("console") for line in text.splitlines() if line.startswith("$ python3")]
    assert len(lines) >= 7
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for _, script, *arguments in (shlex.split(line, comments=True) for line in lines):
            # The default is the repository, and its results are not the test's.
            assert load_script(script).main([*arguments, "--root", str(folder)]) in (0, None), (script, arguments)
    return folder


def test_commands_on_own_music_write_their_files(folder):
    names = ("features.csv", "features.npz", "best_model.onnx", "results/style_space.html", "results/style_space.svg")
    assert [name for name in names if not (folder / name).is_file()] == []
    assert len(list((folder / "results/taggrams").glob("crash_*.svg"))) == 4
    assert len(list((folder / "results").glob("walk_*.m3u8"))) == 1


def test_python_examples_run(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    names = {}
    for text in blocks("python"):
        exec(compile(text, "README.md", "exec"), names)
    assert names["features"].shape == (1, 512)  # of the last example, which uses the exported network
    assert "Music/" in capsys.readouterr().out
