"""Recipes: settings that are known to work, and from them to a compiled model."""

from tf_febm.recipes.choosing import for_dataset, get, names
from tf_febm.recipes.original import change_sampler, restore_original
from tf_febm.recipes.recipe import Recipe
from tf_febm.recipes.stored import Restored, restore

__all__ = [
    "Recipe",
    "Restored",
    "change_sampler",
    "for_dataset",
    "get",
    "names",
    "restore",
    "restore_original",
]
