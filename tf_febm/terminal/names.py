"""A flag for the name of a data set: one of a table, or any of TensorFlow Datasets."""

from absl import flags

from tf_febm.data import tfds_names

__all__ = ["define_dataset"]


class _DatasetParser(flags.EnumParser):
    """Take what the catalogue has, and names such as tfds:cifar10."""

    def parse(self, argument: str) -> str:
        """Return the name; raise a ValueError if there is none."""
        if tfds_names.is_one(argument):
            tfds_names.builder_name(argument)
            return argument
        return super().parse(argument)


def define_dataset(
    name: str, default: str, choices: list[str], text: str, *, flag_values: flags.FlagValues
) -> None:
    """Register the flag."""
    serializer: flags.ArgumentSerializer = flags.ArgumentSerializer()
    flags.DEFINE(_DatasetParser(choices), name, default, text, flag_values, serializer)
