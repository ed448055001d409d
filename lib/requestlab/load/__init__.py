"""The load client: what is sent, by whom, how fast, and what came back."""
