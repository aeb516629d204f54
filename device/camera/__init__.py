"""Camera sources: USB, CSI, network, recorded and synthetic; `factory` imports only the one that is requested."""
