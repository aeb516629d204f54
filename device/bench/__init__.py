"""`fer-edge bench`: stage times, network times and estimates for boards."""
