// Command pulumi-resource-talos manages Talos secrets and nodes for a Pulumi engine.
package main

import (
	"oxide.lab/plugins/internal/provider"
	"oxide.lab/plugins/internal/talos"
)

func main() { provider.Main(talos.Spec()) }
