"""The text of res.txt: the lines of the published original in its order and wording, then further results."""

from collections.abc import Iterator, Sequence

import numpy as np

from music_featurization.command_line import plural
from music_featurization.evaluation.metrics import ClassMetrics, FrontEndMetrics, Measurement, Metrics


def text(metrics: Measurement, classes: Sequence[str]) -> str:
    """Return the report; `classes` are the genres in label order."""
    parts = [
        [
            *_matrix_and_top(metrics),
            f"Test Set Accuracy =  {metrics['accuracy']:.2f}",
            f"Test Set Matthews Coef =  {metrics['matthews']:.2f}",
            f"Test Set F-score =  {metrics['f_score']:.2f}",
            f"ROC AUC = {_roc_auc(metrics['roc_auc'])}",
        ],
        list(_explanations(metrics, classes)),
        _per_class(metrics["per_class"]),
        *_leakage(metrics),
        *_front_end(metrics["front_end"]),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _matrix_and_top(metrics: Metrics) -> list[str]:
    matrix = np.array2string(np.array(metrics["confusion"]), threshold=np.iinfo(np.int64).max, max_line_width=10**6)
    return [matrix, *(f"TOP_{k}: {accuracy:.4f}" for k, accuracy in metrics["top"].items())]


def _roc_auc(number: float | None) -> str:
    return "undefined (fewer than two classes in the test set)" if number is None else f"{number:.3f}"


def _explanations(metrics: Metrics, classes: Sequence[str]) -> Iterator[str]:
    yield f"Test clips: {metrics['clips']}"
    yield f"Matrix: rows are the true genre, columns the predicted one, in the order {', '.join(classes)}"
    yield f"Balanced accuracy: {metrics['balanced_accuracy']:.4f}"
    if metrics["absent"]:
        yield (
            f"No test clip: {', '.join(metrics['absent'])}. Balanced accuracy, F-score and ROC AUC are means over the "
            f"{len(classes) - len(metrics['absent'])} genres that have test clips"
        )
    if metrics["rows_not_summing_to_1"]:
        yield (
            f"Probabilities of {metrics['rows_not_summing_to_1']} of {metrics['clips']} clips do not add to 1: "
            f"ROC AUC as saved {_roc_auc(metrics['roc_auc_as_saved'])}, "
            f"normalised per clip {_roc_auc(metrics['roc_auc'])}"
        )


def _per_class(per_class: list[ClassMetrics]) -> list[str]:
    width = max(len("genre"), *(len(row["genre"]) for row in per_class))
    lines = [f"{'genre':<{width}}  precision  recall  F-score  support"]
    for row in per_class:
        recall, f_score = ("-" if row[key] is None else f"{row[key]:.4f}" for key in ("recall", "f_score"))
        lines.append(
            f"{row['genre']:<{width}}  {row['precision']:>9.4f}  {recall:>6}  {f_score:>7}  {row['support']:>7}"
        )
    return lines


def _leakage(metrics: Measurement) -> Iterator[list[str]]:
    leakage = metrics["leakage"]
    if leakage is None:
        yield ["Songs and artists shared with the training set: unknown, there is no split beside these results"]
        return
    if metrics["trained_on_this_split"] is False:
        yield [
            "The network was trained on another data set or split than this train.csv:",
            "it may have learned from clips of this test set, and the shares below do not show that",
        ]
    if metrics["trained_on_this_split"] is None:
        yield [
            "It is not known whether the network was trained on this train.csv:",
            "the shares below only compare the test clips with it",
        ]
    artists = f"Test clips whose artist is also in train: {leakage['artist_share']:.1%}"
    if not leakage["song_share"]:  # the metrics above are those of unknown songs
        if not leakage["artist_share"]:
            yield ["No test clip is of a song or an artist that is also in train"]
        else:
            yield ["No test clip is of a song that is also in train", artists]
        return
    yield [f"Test clips whose song is also in train: {leakage['song_share']:.1%}", artists]
    if others := leakage["other_songs"]:
        yield [f"On the {plural(others['clips'], 'test clip')} of songs that are not in train:", *_of_a_part(others)]
    else:
        yield ["There is no test clip of a song that is not in train"]


def _of_a_part(metrics: Metrics) -> list[str]:
    return [
        *_matrix_and_top(metrics),
        f"Accuracy: {metrics['accuracy']:.4f}",
        f"Matthews coefficient: {metrics['matthews']:.4f}",
        f"F-score: {metrics['f_score']:.4f}",
        f"ROC AUC: {_roc_auc(metrics['roc_auc'])}",
        f"Balanced accuracy: {metrics['balanced_accuracy']:.4f}",
        *([f"No such clip: {', '.join(metrics['absent'])}"] if metrics["absent"] else []),
        "",
        *_per_class(metrics["per_class"]),
    ]


def _front_end(front_end: FrontEndMetrics | None) -> Iterator[list[str]]:
    if front_end is None:
        return
    yield [heard_by_front_end(front_end)]
    if front_end["heard_clips"] and (others := front_end["other_clips"]):
        clips = plural(others["clips"], "test clip")
        yield [f"On the {clips} that the front end has not heard:", *_of_a_part(others)]


def heard_by_front_end(front_end: FrontEndMetrics) -> str:
    """Say in one line how many test clips were in the pre-trained front end's own training.

    Which songs of the Million Song Dataset its second network was trained on is not published.
    """
    training = "in its own training (folders 0-c of MagnaTagATune)"
    unknown = "whether the Million Song Dataset, its other training data, contains them is not known"
    if front_end["heard_clips"] is None:
        return f"How many test clips the pre-trained front end has heard {training} is unknown: there is no split"
    if not front_end["heard_clips"]:
        return f"The pre-trained front end has heard none of the test clips {training}; {unknown}"
    return (
        f"Test clips that the pre-trained front end has heard {training}: "
        f"{front_end['heard_clips']} ({front_end['heard_share']:.1%})"
    )
