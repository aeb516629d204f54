"""The page of `fer-edge collect review`: its owner labels collected faces by keyboard, on this machine only."""
