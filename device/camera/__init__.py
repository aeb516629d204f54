"""Camera sources: USB, CSI, network, recorded and synthetic; `choice` imports only the one that is asked for."""
