"""Make few clips go further: what a training batch may undergo and still be of its genre."""

import numpy as np

FLOOR_DB = -80.0


def augment(clips, targets, rng, *, mixup=0.0, gain=0.0, masks=0, label_smoothing=0.0):
    """Augment one batch.

    Parameters
    ----------
    clips : numpy.ndarray
        float32, shape (batch, mels, frames), dB in [-80, 0]. Not modified.
    targets : numpy.ndarray
        float32, shape (batch, classes), rows add to 1.
    rng : numpy.random.Generator
        Source of everything random.
    mixup : float
        Parameter of the beta distribution of mixing weights (Zhang et al., arXiv:1710.09412); 0 for none.
    gain : float
        Level change in dB, at most this much up or down; 0 for none.
    masks : int
        Bands and stretches blanked per clip (SpecAugment, arXiv:1904.08779).
    label_smoothing : float
        Share of each target spread over all classes.

    Returns
    -------
    clips, targets : numpy.ndarray
        As given, in shape and type.
    """
    if mixup:
        clips, targets = mix(clips, targets, rng, mixup)
    if gain:
        change = rng.uniform(-gain, gain, (len(clips), 1, 1)).astype(np.float32)
        clips = np.where(clips > FLOOR_DB, np.clip(clips + change, FLOOR_DB, 0), FLOOR_DB)
    if masks:
        clips = blank(clips.copy(), rng, masks)
    targets = targets * (1 - label_smoothing) + label_smoothing / targets.shape[1]
    return clips.astype(np.float32, copy=False), targets.astype(np.float32)


def mix(clips, targets, rng, alpha):
    """Blend each clip and its target with another of the batch, the larger share its own."""
    share = rng.beta(alpha, alpha, len(clips)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    other = rng.permutation(len(clips))
    of_clip, of_target = share[:, None, None], share[:, None]
    return (
        of_clip * clips + (1 - of_clip) * clips[other],
        of_target * targets + (1 - of_target) * targets[other],
    )


def blank(clips, rng, masks):
    """Blank up to an eighth of the bands and of the frames, `masks` times each, in place."""
    _, mels, frames = clips.shape
    for clip in clips:
        for _ in range(masks):
            width = rng.integers(mels // 8 + 1)
            low = rng.integers(mels - width + 1)
            clip[low : low + width] = FLOOR_DB
            width = rng.integers(frames // 8 + 1)
            start = rng.integers(frames - width + 1)
            clip[:, start : start + width] = FLOOR_DB
    return clips
