"""How the wall's table came to be."""
