"""What a run tells the system and is told by it: health, the status file, systemd, pause and resume."""
