"""The text of res.txt: first the published original's lines in their order and wording, then what it left out."""

import numpy as np


def text(found, classes):
    """The report.

    Parameters
    ----------
    found : dict
        That of `test_results.measure`.
    classes : sequence of str
        Genre of each label.

    Returns
    -------
    str
        Ends with a line end.
    """
    parts = [
        _original(found),
        _about(found, classes),
        _per_class(found["per_class"]),
        *_leakage(found),
        *_front_end(found.get("front_end")),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _original(found):
    return [
        _matrix(found),
        *(f"TOP_{k}: {accuracy:.4f}" for k, accuracy in found["top"].items()),
        f"Test Set Accuracy =  {found['accuracy']:.2f}",
        f"Test Set Matthews Coef =  {found['matthews']:.2f}",
        f"Test Set F-score =  {found['f_score']:.2f}",
        f"ROC AUC = {_or_undefined(found['roc_auc'])}",
    ]


def _matrix(found):
    return np.array2string(np.array(found["confusion"]), threshold=np.iinfo(np.int64).max, max_line_width=10**6)


def _or_undefined(number):
    return "undefined (fewer than two classes in the test set)" if number is None else f"{number:.3f}"


def _about(found, classes):
    lines = [
        f"Test clips: {found['clips']}",
        f"Matrix: rows are the true genre, columns the predicted one, in the order {', '.join(classes)}",
        f"Balanced accuracy: {found['balanced_accuracy']:.4f}",
    ]
    if found["absent"]:
        lines.append(
            f"No test clip: {', '.join(found['absent'])}. Balanced accuracy, F-score and ROC AUC are means over the "
            f"{len(classes) - len(found['absent'])} genres that have test clips"
        )
    if found["rows_not_summing_to_1"]:
        lines.append(
            f"Probabilities of {found['rows_not_summing_to_1']} of {found['clips']} clips do not add to 1: "
            f"ROC AUC as saved {_or_undefined(found['roc_auc_as_saved'])}, "
            f"normalised per clip {_or_undefined(found['roc_auc'])}"
        )
    return lines


def _per_class(per_class):
    width = max(len("genre"), *(len(row["genre"]) for row in per_class))
    lines = [f"{'genre':<{width}}  precision  recall  F-score  support"]
    for row in per_class:
        recall, f_score = (f"{row[key]:.4f}" if row[key] is not None else "-" for key in ("recall", "f_score"))
        lines.append(
            f"{row['genre']:<{width}}  {row['precision']:>9.4f}  {recall:>6}  {f_score:>7}  {row['support']:>7}"
        )
    return lines


def _leakage(found):
    leakage = found["leakage"]
    if leakage is None:
        yield ["Songs and artists shared with the training set: unknown, there is no split beside these results"]
        return
    if found.get("trained_on_this_split") is False:
        yield [
            "The network was trained on another data set or split than this train.csv:",
            "it may have learned from clips of this test set, and the shares below do not tell",
        ]
    if leakage["song_share"] == 0:  # the numbers above are those of unknown songs
        both = leakage["artist_share"] == 0
        yield [
            f"No test clip is of a song{' or an artist' if both else ''} that is also in train",
            *([] if both else [f"Test clips whose artist is also in train: {leakage['artist_share']:.1%}"]),
        ]
        return
    yield [
        f"Test clips whose song is also in train: {leakage['song_share']:.1%}",
        f"Test clips whose artist is also in train: {leakage['artist_share']:.1%}",
    ]
    others = leakage["other_songs"]
    if others is None:
        yield ["There is no test clip of a song that is not in train"]
        return
    yield [f"On the {others['clips']} test clips of songs that are not in train:", *_metrics(others)]


def _metrics(found):
    """All numbers of some of the test clips."""
    return [
        _matrix(found),
        *(f"TOP_{k}: {accuracy:.4f}" for k, accuracy in found["top"].items()),
        f"Accuracy: {found['accuracy']:.4f}",
        f"Matthews coefficient: {found['matthews']:.4f}",
        f"F-score: {found['f_score']:.4f}",
        f"ROC AUC: {_or_undefined(found['roc_auc'])}",
        f"Balanced accuracy: {found['balanced_accuracy']:.4f}",
        *([f"No such clip: {', '.join(found['absent'])}"] if found["absent"] else []),
        *_per_class(found["per_class"]),
    ]


def _front_end(front_end):
    if front_end is None:
        return
    yield [heard_by_front_end(front_end)]
    if front_end["heard_clips"] and front_end["other_clips"]:
        others = front_end["other_clips"]
        yield [f"On the {others['clips']} test clips that the front end has not heard:", *_metrics(others)]


def heard_by_front_end(front_end: dict) -> str:
    """Say in one line how many test clips were in the pre-trained front end's own training.

    Parameters
    ----------
    front_end : dict
        `front_end` of `test_results.measure`.
    """
    training = "in its own training (folders 0-c of MagnaTagATune)"
    if front_end["heard_clips"] is None:
        return f"How many test clips the pre-trained front end has heard {training} is unknown: there is no split"
    if not front_end["heard_clips"]:
        return f"The pre-trained front end has heard none of the test clips {training}"
    return (
        f"Test clips that the pre-trained front end has heard {training}: "
        f"{front_end['heard_clips']} ({front_end['heard_share']:.1%})"
    )
