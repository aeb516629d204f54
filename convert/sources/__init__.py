"""Models as the user names them: found, opened and checked."""
