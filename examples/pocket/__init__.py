"""How the pocket image model was trained: the recipe, from packages alone."""
