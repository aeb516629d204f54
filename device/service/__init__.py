"""systemd: unit files and readiness notification."""
