"""The networks of the code of Geng et al. 2021, by the names that they had here."""

from tf_febm.networks import generator_published_bounds, published_bounds


def energy(shape, num_filters: int, name: str):
    """Return `networks.published_bounds`."""
    return published_bounds(shape, num_filters, name)


def generator(latent_dim: int, shape, num_filters: int, batch_norm: bool):
    """Return `networks.generator_published_bounds`."""
    return generator_published_bounds(latent_dim, shape, num_filters, batch_norm, "generator")
