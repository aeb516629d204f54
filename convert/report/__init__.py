"""Reports: pages, cards, plots and tables."""
