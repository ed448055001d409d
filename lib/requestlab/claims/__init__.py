"""Claims: sentences that can be wrong, and what this machine says of them."""
