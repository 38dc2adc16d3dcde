// Command pulumi-resource-hcloud manages objects of the Hetzner Cloud for a Pulumi engine.
package main

import (
	"oxide.lab/plugins/internal/hcloud"
	"oxide.lab/plugins/internal/provider"
)

func main() { provider.Main(hcloud.Spec()) }
