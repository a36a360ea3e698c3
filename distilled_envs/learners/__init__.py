"""Networks and their one gradient step: alone, many at once, behind an encoder, or a user's own."""
