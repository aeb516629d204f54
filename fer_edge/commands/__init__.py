"""The commands of `fer-edge`, a file for each or for a close family: its arguments, and the call that it makes."""
