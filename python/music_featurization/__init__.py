"""Turn recordings into a style space of music: spectrograms, tags, genres, features.

`features`, `predict`, `tags`, `log_mel` and `load_features` are documented in `music_featurization.api`, `featurize` in
`music_featurization.feature_tables.featurize`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from music_featurization.api import features, featurize, load_features, log_mel, predict, tags

__all__ = ["features", "featurize", "load_features", "log_mel", "predict", "tags"]


def __getattr__(name: str) -> Any:
    """Import the interface on its first use: its libraries take a second, and most scripts do not need them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from music_featurization import api

    return getattr(api, name)
