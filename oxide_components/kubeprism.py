"""Where KubePrism, the Kubernetes API proxy on every Talos node, listens.

The machine configuration opens it, and Cilium, which replaces kube-proxy and therefore cannot rely on the `kubernetes`
service, reaches the API through it. Both read these constants, so they cannot disagree.
"""

from typing import Final

KUBEPRISM_HOST: Final = "localhost"
"""Host name under which host-network pods reach KubePrism."""

KUBEPRISM_PORT: Final = 7445
"""TCP port of KubePrism on every node."""
