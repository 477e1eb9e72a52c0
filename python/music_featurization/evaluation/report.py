"""The text of res.txt: first the published original's lines in their order and wording, then what it left out."""

import numpy as np


def text(found, classes):
    """The report.

    Parameters
    ----------
    found : dict
        That of `metrics.evaluate_with_leakage`.
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
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _original(found):
    rows = np.array2string(np.array(found["confusion"]), threshold=np.iinfo(np.int64).max, max_line_width=10**6)
    return [
        rows,
        *(f"TOP_{k}: {accuracy:.4f}" for k, accuracy in found["top"].items()),
        f"Test Set Accuracy =  {found['accuracy']:.2f}",
        f"Test Set Matthews Coef =  {found['matthews']:.2f}",
        f"Test Set F-score =  {found['f_score']:.2f}",
        f"ROC AUC = {_or_undefined(found['roc_auc'])}",
    ]


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
    yield [
        f"Test clips whose song is also in train: {leakage['song_share']:.1%}",
        f"Test clips whose artist is also in train: {leakage['artist_share']:.1%}",
    ]
    others = leakage["other_songs"]
    if others is None:
        yield ["There is no test clip of a song that is not in train"]
        return
    yield [
        f"On the {others['clips']} test clips of songs that are not in train:",
        np.array2string(np.array(others["confusion"]), threshold=np.iinfo(np.int64).max, max_line_width=10**6),
        *(f"TOP_{k}: {accuracy:.4f}" for k, accuracy in others["top"].items()),
        f"Accuracy: {others['accuracy']:.4f}",
        f"Matthews coefficient: {others['matthews']:.4f}",
        f"F-score: {others['f_score']:.4f}",
        f"ROC AUC: {_or_undefined(others['roc_auc'])}",
        f"Balanced accuracy: {others['balanced_accuracy']:.4f}",
        *([f"No such clip: {', '.join(others['absent'])}"] if others["absent"] else []),
        *_per_class(others["per_class"]),
    ]
