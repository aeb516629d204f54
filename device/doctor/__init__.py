"""`fer-edge doctor`: checks of the machine, the camera, the runtime and the service."""
