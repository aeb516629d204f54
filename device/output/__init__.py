"""Where events go: the sinks, among them the journal, which stores them."""
