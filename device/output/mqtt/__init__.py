"""A run published to an MQTT broker and to Home Assistant."""
