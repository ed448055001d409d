raise ImportError("uvloop is broken on purpose")
