"""Make few clips go further: what a training clip may undergo and still be of its genre."""

import numpy as np

FLOOR_DB = -80.0


def crop(clip, frames, rng, *, stretch=0.0, shift=0.0):
    """A random stretch of a clip, perhaps a little faster or slower, higher or lower.

    Parameters
    ----------
    clip : numpy.ndarray
        Shape (mels, frames of the clip), dB.
    frames : int
        Length wanted; a clip that is shorter is padded with silence at its end.
    rng : numpy.random.Generator
        Source of everything random.
    stretch : float
        Tempo changes by up to this many octaves, either way.
    shift : float
        Pitch moves by up to this many whole mel bands, either way.

    Returns
    -------
    numpy.ndarray
        float32, shape (mels, frames).
    """
    speed = 2 ** rng.uniform(-stretch, stretch) if stretch else 1.0
    length = min(round(frames * speed), clip.shape[1])
    start = rng.integers(clip.shape[1] - length + 1)
    clip = clip[:, start : start + length].astype(np.float32)
    if stretch:
        clip = resample(clip, np.arange(min(frames, round(length / speed))) * speed)
    if shift:
        # Whole bands: between two bands interpolation would smooth away the very texture that is to be learnt.
        moved = np.arange(clip.shape[0]) + rng.integers(-round(shift), round(shift) + 1)
        clip = clip[np.clip(moved, 0, clip.shape[0] - 1)]
    return np.pad(clip, ((0, 0), (0, frames - clip.shape[1])), constant_values=FLOOR_DB)


def resample(clip, positions):
    """Columns of a clip at fractional positions, by linear interpolation; beyond the ends, the end itself."""
    positions = np.clip(positions, 0, clip.shape[1] - 1)
    before = positions.astype(int)
    after = np.minimum(before + 1, clip.shape[1] - 1)
    share = (positions - before).astype(np.float32)
    return clip[:, before] * (1 - share) + clip[:, after] * share


def augment(clips, targets, rng, *, mixup=0.0, gain=0.0, tilt=0.0, masks=0, label_smoothing=0.0):
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
    tilt : float
        Lowest band up by at most this many dB and highest down, or the reverse; 0 for none.
    masks : int
        Bands and stretches set to the clip's mean, so many per clip (SpecAugment, arXiv:1904.08779).
    label_smoothing : float
        Share of each target spread over all classes.

    Returns
    -------
    clips, targets : numpy.ndarray
        As given, in shape and type. What was at the floor, padding above all, stays there.
    """
    if mixup:
        clips, targets = mix(clips, targets, rng, mixup)
    if gain or tilt:
        slope = np.linspace(-1, 1, clips.shape[1], dtype=np.float32)[:, None]
        amounts = rng.uniform(-1, 1, (2, len(clips), 1, 1)).astype(np.float32)
        changed = np.clip(clips + gain * amounts[0] + tilt * amounts[1] * slope, FLOOR_DB, 0)
        clips = np.where(clips > FLOOR_DB, changed, FLOOR_DB)
    if masks:
        clips = mask(clips.copy(), rng, masks)
    targets = targets * (1 - label_smoothing) + label_smoothing / targets.shape[1]
    return clips.astype(np.float32, copy=False), targets.astype(np.float32, copy=False)


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


def mask(clips, rng, masks):
    """Set up to an eighth of the bands and of the frames to the clip's mean, `masks` times each, in place."""
    _, mels, frames = clips.shape
    for clip in clips:
        mean = clip.mean()
        for _ in range(masks):
            width = rng.integers(mels // 8 + 1)
            low = rng.integers(mels - width + 1)
            clip[low : low + width] = mean
            width = rng.integers(frames // 8 + 1)
            start = rng.integers(frames - width + 1)
            clip[:, start : start + width] = mean
    return clips
