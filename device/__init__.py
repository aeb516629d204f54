"""The camera loop: camera → vision → output, put together in `run.py`. Needs neither TensorFlow nor a screen."""
