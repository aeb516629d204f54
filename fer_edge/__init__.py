"""What host and device share: labels, faces, the crop, the classifier, the bundle, the events."""

__version__ = "0.1.0"
