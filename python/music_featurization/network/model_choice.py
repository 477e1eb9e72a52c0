"""Which network is used, and whether it fits the data."""

from music_featurization.artifacts import PROVIDED_MODEL, STEP_1, TRAINING, PipelineError, read_json
from music_featurization.network import checkpoints, history, keras_backend


def choose(artifacts):
    """The network to use when none is asked for.

    Parameters
    ----------
    artifacts : Artifacts

    Returns
    -------
    path : Path
        The checkpoint of lowest validation loss; the provided network where there is no checkpoint.
    why : str
        For the user.

    Raises
    ------
    PipelineError
        If there are checkpoints but nothing that tells which is best.
    """
    best = history.best_checkpoint(artifacts.models, artifacts.history)
    return best or (PROVIDED_MODEL, f"the provided network, because {artifacts.models} holds no epoch_*.h5")


def require_compatible(model_file, classes, artifacts):
    """Refuse a network that is known to be of other classes or other spectrograms.

    Parameters
    ----------
    model_file : Path
    classes : tuple of str
        The data's, in label order.
    artifacts : Artifacts

    Raises
    ------
    PipelineError
        If the file says that it was trained on others than the data has, or cannot be read. A file that says nothing,
        being of other origin, passes.
    """
    about = checkpoints.read_about(model_file)
    if tuple(about.get("classes", classes)) != classes:
        raise PipelineError(
            f"{model_file} knows the classes {', '.join(about['classes'])}; the data set has {', '.join(classes)}. "
            f"Give another --model, or train one with {TRAINING}."
        )
    made = read_json(artifacts.spectrogram_settings, STEP_1)
    trained = about.get("spectrogram_settings", made)
    differing = sorted(key for key in {**made, **trained} if made.get(key) != trained.get(key))
    if differing:
        of_model, of_data = (", ".join(f"{key} = {of.get(key)}" for key in differing) for of in (trained, made))
        raise PipelineError(
            f"{model_file} was trained on spectrograms with {of_model}; those in {artifacts.spectrograms} have "
            f"{of_data}. Run {STEP_1} --overwrite to make them again, or give a --model trained on these."
        )


def load(model_file, classes):
    """Read a network that gives these classes and the features.

    Parameters
    ----------
    model_file : Path
    classes : sequence of str

    Returns
    -------
    keras.Model

    Raises
    ------
    PipelineError
        If the file cannot be read or the network does not fit.
    """
    keras_backend.load_keras()
    model, _ = checkpoints.load(model_file)
    layers = [layer.name for layer in model.layers]
    if "activation_1" not in layers or len(model.input_shape) != 3 or model.output_shape[-1] != len(classes):
        raise PipelineError(
            f"{model_file} does not fit: it takes {model.input_shape} and gives {model.output_shape}; needed are "
            f"(clips, mels, frames), a layer activation_1 and {len(classes)} classes. Train one with {TRAINING}."
        )
    return model
