"""Messages between agent and engine, and the socket pair that carries them."""
