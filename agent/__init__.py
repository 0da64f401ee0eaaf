"""One turn, from question to illustrated answer, and the faces people meet."""
