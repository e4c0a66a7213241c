"""Choice of the feature network of an evaluation, by name or by what there is."""

from typing import Any

from tf_febm import arguments, catalogue
from tf_febm.evaluation.classifier import train_classifier
from tf_febm.evaluation.feature_network import FeatureNetwork
from tf_febm.evaluation.inception_graph import InceptionGraph
from tf_febm.evaluation.keras_networks import KerasInception, SqueezeNet

__all__ = ["CLASSIFIED", "FEATURES", "find_feature_network", "no_network"]

FEATURES = ("auto", "classifier", "inception_graph", "keras_inception", "squeezenet")
# Data sets that a small classifier learns in seconds.
CLASSIFIED = tuple(name for name, entry in catalogue.DATASETS.items() if entry.classifier)


@arguments.checking({"train": arguments.DATASETS})
def find_feature_network(
    train: arguments.Data,
    features: str = "auto",
    *,
    inception: Any = None,
    squeezenet: Any = None,
    keras_weights: str = "imagenet",
    cache_dir: arguments.Path | None = None,
) -> FeatureNetwork | None:
    """Return the feature network for some images.

    Args:
        train: `ImageData` of the training split.
        features: One of `FEATURES`. "auto": the one whose file is given, else the classifier of a
            small labelled data set, else none.
        inception: classify_image_graph_def.pb, for the published FID and Inception score.
        squeezenet: Weights of SqueezeNet 1.1 without top.
        keras_weights: Weights of keras_inception; "imagenet" downloads them.
        cache_dir: Where trained classifiers are kept; see `train_classifier`.

    Returns:
        The network, or None if "auto" finds none.

    Raises:
        ValueError: An argument that it needs is not given, or a file is not what it should be.
        OSError: A file is missing.
    """
    name = features
    if name == "auto":
        offered = {
            "inception_graph": inception,
            "squeezenet": squeezenet,
            "classifier": train.name in CLASSIFIED,
        }
        name = next((name for name, there in offered.items() if there), None)
        if name is None:
            return None
    if name == "classifier":
        if train.labels is None:
            raise ValueError(f"A classifier needs labels; {train.source} has none.")
        return train_classifier(
            train.images, train.labels, train.num_classes, name=train.name, cache_dir=cache_dir
        )
    if name == "keras_inception":
        return KerasInception(keras_weights)
    if name == "inception_graph" and inception:
        return InceptionGraph(inception)
    if name == "squeezenet" and squeezenet:
        return SqueezeNet(squeezenet)
    if name not in FEATURES:
        raise ValueError(f"features must be one of {', '.join(FEATURES)}; received {features!r}.")
    raise ValueError(no_network(features, train))


def no_network(features: str, train: arguments.Data) -> str:
    """Return what can be done where there is no feature network."""
    return (
        f"features={features} has no network for {train.name}: give inception= "
        "(classify_image_graph_def.pb), squeezenet= (weights), or features=keras_inception "
        "(downloads 96 MB, or keras_weights=)."
    )
