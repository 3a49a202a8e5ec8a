"""Lists the configs that come with the package."""
