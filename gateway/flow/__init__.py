"""Flow: the order of steps in which one request is served. ``serve.py`` tells the story."""
