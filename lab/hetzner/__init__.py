"""A Hetzner Cloud API on loopback, for rehearsal and tests."""
