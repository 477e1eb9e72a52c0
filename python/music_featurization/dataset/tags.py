"""From annotations to one genre per clip: the tagged CSV of step 2 and the genre table of step 3."""

import numpy as np

from music_featurization.dataset import genres

TAGGED_COLUMNS = ("clip_id", "spectrogram", "kind", "tag")
GENRE_COLUMNS = ("clip_id", "spectrogram", "genre", "label")


def tag_table(clips, tags):
    """One row per clip and tag, of the genre and instrument tags that count.

    Parameters
    ----------
    clips : pandas.DataFrame
        `clip_id` and `spectrogram`.
    tags : pandas.DataFrame, bool
        One column per tag, rows as in `clips`.

    Returns
    -------
    pandas.DataFrame
        Columns `clip_id, spectrogram, kind, tag`; by clip, then genres before instruments, each in the order of
        `genres.GENRE_TAGS` and `genres.INSTRUMENT_TAGS`.
    """
    import pandas

    kinds = dict.fromkeys(genres.GENRE_TAGS, "genre") | dict.fromkeys(genres.INSTRUMENT_TAGS, "instrument")
    counted = [tag for tag in kinds if tag in tags]
    rows, columns = np.nonzero(tags[counted].to_numpy(dtype=bool).reshape(len(tags), len(counted)))
    table = clips[["clip_id", "spectrogram"]].iloc[rows].reset_index(drop=True)
    names = np.array(counted, dtype=object)[columns]
    return table.assign(kind=pandas.Series([kinds[name] for name in names], dtype=object), tag=names)


def folder_tag_table(spectrograms):
    """Make the tag table of a collection without annotations, whose folders are named by genre.

    Parameters
    ----------
    spectrograms : iterable of str
        Paths such as `jazz/some/track.npy`; the first folder is the genre. The clip_id is the position, from 1, among
        the sorted paths. A clip outside a folder has no genre and is left out.

    Returns
    -------
    pandas.DataFrame
        As `tag_table`, kind `genre`.
    """
    import pandas

    paths = sorted(path for path in spectrograms if "/" in path)
    return pandas.DataFrame(
        {
            "clip_id": range(1, len(paths) + 1),
            "spectrogram": paths,
            "kind": "genre",
            "tag": [genres.tag_name(path.split("/")[0]) for path in paths],
        },
        columns=TAGGED_COLUMNS,
    )


def merge_synonyms(tags):
    """Set a genre's tag wherever one of its synonyms is set, and drop the synonyms.

    Parameters
    ----------
    tags : pandas.DataFrame, bool

    Returns
    -------
    tags : pandas.DataFrame, bool
    added : dict of str to int
        Clips that each genre gains.
    """
    tags, added = tags.copy(), {}
    for genre, synonyms in genres.SYNONYMS.items():
        present = [synonym for synonym in synonyms if synonym in tags]
        before = tags[genre] if genre in tags else np.zeros(len(tags), dtype=bool)
        after = before | tags[present].any(axis=1)
        added[genre] = int(after.sum() - before.sum())
        tags[genre] = after
        tags = tags.drop(columns=present)
    return tags, added


def one_genre_per_clip(tagged, priority):
    """Choose for each clip the first of its genres in order of priority.

    Parameters
    ----------
    tagged : pandas.DataFrame
        As `tag_table` returns it.
    priority : sequence of str
        The genres that count.

    Returns
    -------
    pandas.DataFrame
        Columns `clip_id, spectrogram, genre, label`, one row per clip that has one of the genres, sorted by clip_id;
        labels by `genres.label_order`.
    """
    rank = {genre: position for position, genre in enumerate(priority)}
    labels = {genre: label for label, genre in enumerate(genres.label_order(priority))}
    table = tagged[(tagged["kind"] == "genre") & tagged["tag"].isin(rank)]
    table = table.assign(number=table["clip_id"].astype("int64"), rank=table["tag"].map(rank))
    table = table.sort_values(["number", "rank"], kind="stable").drop_duplicates("number")
    table = table.rename(columns={"tag": "genre"}).assign(label=table["tag"].map(labels))
    return table[list(GENRE_COLUMNS)].reset_index(drop=True)
