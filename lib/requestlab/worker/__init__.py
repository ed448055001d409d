"""What runs inside the server's processes; nothing outside this folder does."""
