{{/* The agent's and the operator's options as a YAML mapping of texts. */}}
{{- define "cilium.config" -}}
{{- $options := dict -}}
{{- range $option, $path := .Files.Get "files/options.yaml" | fromYaml -}}
  {{- $value := $.Values -}}
  {{- $given := true -}}
  {{- range splitList "." $path -}}
    {{- if and $given (kindIs "map" $value) (hasKey $value .) -}}
      {{- $value = index $value . -}}
    {{- else -}}
      {{- $given = false -}}
    {{- end -}}
  {{- end -}}
  {{- if and $given (not (kindIs "invalid" $value)) -}}
    {{- $_ := set $options $option (include "cilium.text" $value) -}}
  {{- end -}}
{{- end -}}
{{- $v := .Values -}}
{{- $set := dict
    "enable-bpf-masquerade" (ternary "false" (toString $v.bpf.masquerade) (kindIs "invalid" $v.bpf.masquerade))
    "external-envoy-proxy" (ternary "true" "false" (eq (include "cilium.envoyDaemonSet" .) "true"))
    "enable-endpoint-health-checking" (toString $v.endpointHealthChecking.enabled)
    "ipam" (default "cluster-pool" $v.ipam.mode)
    "kube-proxy-replacement" (include "cilium.kubeProxyReplacement" .)
    "operator-api-serve-addr" "127.0.0.1:9234"
    "routing-mode" (default "tunnel" $v.routingMode)
    "tunnel-protocol" (default "vxlan" $v.tunnelProtocol)
    "unmanaged-pod-watcher-interval" (ternary (printf "%ds" (int $v.operator.unmanagedPodWatcher.intervalSeconds)) "0" $v.operator.unmanagedPodWatcher.restart)
-}}
{{- if eq (include "cilium.kubeProxyReplacement" .) "true" -}}
{{- $_ := set $set "kube-proxy-replacement-healthz-bind-address" (default "" $v.kubeProxyReplacementHealthzBindAddr) -}}
{{- end -}}
{{- if eq (default "cluster-pool" $v.ipam.mode) "cluster-pool" -}}
  {{- if $v.ipv4.enabled -}}
  {{- $_ := set $set "cluster-pool-ipv4-cidr" (include "cilium.text" $v.ipam.operator.clusterPoolIPv4PodCIDRList) -}}
  {{- $_ := set $set "cluster-pool-ipv4-mask-size" (include "cilium.text" $v.ipam.operator.clusterPoolIPv4MaskSize) -}}
  {{- end -}}
  {{- if $v.ipv6.enabled -}}
  {{- $_ := set $set "cluster-pool-ipv6-cidr" (include "cilium.text" $v.ipam.operator.clusterPoolIPv6PodCIDRList) -}}
  {{- $_ := set $set "cluster-pool-ipv6-mask-size" (include "cilium.text" $v.ipam.operator.clusterPoolIPv6MaskSize) -}}
  {{- end -}}
{{- end -}}
{{- range $option, $value := dict
    "ipv4-native-routing-cidr" $v.ipv4NativeRoutingCIDR
    "ipv6-native-routing-cidr" $v.ipv6NativeRoutingCIDR
    "mtu" $v.MTU
    "tunnel-port" $v.tunnelPort
-}}
  {{- if $value -}}{{- $_ := set $set $option (include "cilium.text" $value) -}}{{- end -}}
{{- end -}}
{{- range $option, $enabled := dict
    "enable-bgp-control-plane" $v.bgpControlPlane.enabled
    "enable-egress-gateway" $v.egressGateway.enabled
    "enable-endpoint-routes" $v.endpointRoutes.enabled
    "enable-gateway-api" $v.gatewayAPI.enabled
    "enable-host-firewall" $v.hostFirewall.enabled
    "enable-ingress-controller" $v.ingressController.enabled
    "enable-ip-masq-agent" $v.ipMasqAgent.enabled
    "enable-l2-announcements" $v.l2announcements.enabled
    "enable-node-ipam" $v.nodeIPAM.enabled
    "policy-audit-mode" $v.policyAuditMode
    "remove-cilium-node-taints" $v.operator.removeNodeTaints
    "set-cilium-is-up-condition" $v.operator.setNodeNetworkStatus
    "set-cilium-node-taints" $v.operator.removeNodeTaints
    "skip-crd-creation" $v.operator.skipCRDCreation
-}}
  {{- if $enabled -}}{{- $_ := set $set $option "true" -}}{{- end -}}
{{- end -}}
{{- if and $v.cni.install (not $v.cni.customConf) -}}
{{- $_ := set $set "write-cni-conf-when-ready" (printf "%s/05-cilium.conflist" $v.cni.hostConfDirMountPath) -}}
{{- end -}}
{{- if not $v.securityContext.privileged -}}{{- $_ := set $set "procfs" "/host/proc" -}}{{- end -}}
{{- if $v.bandwidthManager.enabled -}}
{{- $_ := set $set "enable-bandwidth-manager" "true" -}}
{{- $_ := set $set "enable-bbr" (toString $v.bandwidthManager.bbr) -}}
{{- $_ := set $set "enable-bbr-hostns-only" (toString $v.bandwidthManager.bbrHostNamespaceOnly) -}}
{{- end -}}
{{- if $v.encryption.enabled -}}
  {{- if eq $v.encryption.type "wireguard" -}}
  {{- $_ := set $set "enable-wireguard" "true" -}}
  {{- $_ := set $set "wireguard-persistent-keepalive" $v.encryption.wireguard.persistentKeepalive -}}
  {{- else if eq $v.encryption.type "ipsec" -}}
  {{- $ipsec := $v.encryption.ipsec -}}
  {{- $_ := set $set "enable-ipsec" "true" -}}
  {{- $_ := set $set "ipsec-key-file" (printf "%s/%s" $ipsec.mountPath $ipsec.keyFile) -}}
  {{- $_ := set $set "enable-ipsec-key-watcher" (toString $ipsec.keyWatcher) -}}
  {{- $_ := set $set "ipsec-key-rotation-duration" $ipsec.keyRotationDuration -}}
  {{- $_ := set $set "enable-ipsec-encrypted-overlay" (toString $ipsec.encryptedOverlay) -}}
  {{- end -}}
  {{- if $v.encryption.nodeEncryption -}}{{- $_ := set $set "encrypt-node" "true" -}}{{- end -}}
{{- end -}}
{{- if or $v.gatewayAPI.enabled $v.ingressController.enabled -}}
{{- $_ := set $set "enable-envoy-config" "true" -}}
{{- $_ := set $set "envoy-config-retry-interval" $v.envoyConfig.retryInterval -}}
{{- end -}}
{{- if $v.gatewayAPI.enabled -}}
{{- $gateway := $v.gatewayAPI -}}
{{- $_ := set $set "enable-gateway-api-secrets-sync" (toString $gateway.secretsNamespace.sync) -}}
{{- $_ := set $set "enable-gateway-api-proxy-protocol" (toString $gateway.enableProxyProtocol) -}}
{{- $_ := set $set "enable-gateway-api-app-protocol" (toString (or $gateway.enableAppProtocol $gateway.enableAlpn)) -}}
{{- $_ := set $set "enable-gateway-api-alpn" (toString $gateway.enableAlpn) -}}
{{- $_ := set $set "gateway-api-xff-num-trusted-hops" (include "cilium.text" $gateway.xffNumTrustedHops) -}}
{{- $_ := set $set "gateway-api-service-externaltrafficpolicy" $gateway.externalTrafficPolicy -}}
{{- $_ := set $set "gateway-api-secrets-namespace" $gateway.secretsNamespace.name -}}
{{- $_ := set $set "gateway-api-hostnetwork-enabled" (toString $gateway.hostNetwork.enabled) -}}
{{- $labels := list -}}
{{- range $key, $label := $gateway.hostNetwork.nodes.matchLabels -}}
  {{- $labels = append $labels (printf "%s=%s" $key $label) -}}
{{- end -}}
{{- $_ := set $set "gateway-api-hostnetwork-nodelabelselector" (join "," $labels) -}}
{{- end -}}
{{- if $v.prometheus.enabled -}}
{{- $_ := set $set "prometheus-serve-addr" (printf ":%s" (include "cilium.text" $v.prometheus.port)) -}}
{{- end -}}
{{- if $v.operator.prometheus.enabled -}}
{{- $_ := set $set "operator-prometheus-serve-addr" (printf ":%s" (include "cilium.text" $v.operator.prometheus.port)) -}}
{{- $_ := set $set "enable-metrics" "true" -}}
{{- end -}}
{{- if $v.hubble.enabled -}}
{{- $_ := set $set "hubble-socket-path" $v.hubble.socketPath -}}
{{- $_ := set $set "hubble-listen-address" $v.hubble.listenAddress -}}
{{- $_ := set $set "hubble-disable-tls" (toString (not $v.hubble.tls.enabled)) -}}
  {{- if $v.hubble.metrics.enabled -}}
  {{- $_ := set $set "hubble-metrics" (include "cilium.text" $v.hubble.metrics.enabled) -}}
  {{- $_ := set $set "hubble-metrics-server" (printf ":%s" (include "cilium.text" $v.hubble.metrics.port)) -}}
  {{- $_ := set $set "enable-hubble-open-metrics" (toString $v.hubble.metrics.enableOpenMetrics) -}}
  {{- end -}}
{{- end -}}
{{- range $option, $value := $v.extraConfig -}}
{{- $_ := set $set $option (include "cilium.text" $value) -}}
{{- end -}}
{{- merge $set $options | toYaml -}}
{{- end -}}
