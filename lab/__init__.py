"""A Hetzner Cloud with Talos nodes on one machine, for rehearsal and tests."""
