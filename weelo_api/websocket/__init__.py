"""The WebSocket at /api/v1/ws: handshake, transport, session, and the hub that delivers live events to sessions."""
