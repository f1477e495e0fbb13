"""IRC networks of our own, lines that are slow or filtered, and users who cheat."""
