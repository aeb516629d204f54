"""Where events go: the sinks, and the journal, which is the one that lasts."""
