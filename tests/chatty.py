"""An application that says far too much, on few lines, and then cannot be loaded."""

print("\x1b" * 300_000)
raise RuntimeError("the last words")
