"""Export a network for use without Keras and without this project.

    python3 export.py ../models/best_model.h5 --format onnx             (writes ../models/best_model.onnx)
    python3 export.py ../models/epoch_07_0.8125.h5 --format savedmodel --output exported

The whole network is exported, from log-mel spectrograms of any length to the probabilities of the genres and the 512
features. The script prints Python code that uses the result on a recording. The format onnx needs
`pip install -r requirements-export.txt`.
"""

from collections.abc import Sequence
from pathlib import Path

try:
    from music_featurization import command_line
except ImportError as error:
    raise SystemExit(f"error: {error}. Install the project first: pip install -r requirements.txt") from None

from music_featurization.network.export import ENDINGS, export


def main(argv: Sequence[str] | None = None) -> int:
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    text = "the network, a Keras .h5 file (default: the one that 2-testing.py uses)"
    add("model", type=Path, nargs="?", metavar="MODEL", help=text)
    add("--format", choices=ENDINGS, required=True, help="an ONNX file, or the folder of a TensorFlow SavedModel")
    add("--output", type=Path, metavar="PATH", help="file or folder to write (default: beside MODEL, named after it)")
    add("--overwrite", action="store_true", help="replace an earlier export")
    export(**vars(parser.parse_args(argv)))
    return 0


if __name__ == "__main__":
    command_line.run(main)
