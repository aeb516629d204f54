"""Reports for people: pages, cards, plots and tables."""
