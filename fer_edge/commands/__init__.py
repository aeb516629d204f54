"""The commands of `fer-edge`: each reads its arguments, calls one function, and prints the result."""
