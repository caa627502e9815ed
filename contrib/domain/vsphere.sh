#!/bin/sh
# The failure domain of a virtual machine on vSphere: CLUSTER/ESXI-HOST, where it runs now.
#
#   freehold agent --join … --domain-command /usr/local/lib/freehold/vsphere.sh
#
# Needs govc (https://github.com/vmware/govmomi) and jq, and a file that only root reads, with an
# account that may read the inventory ("Read-only" on the datacenter is enough):
#
#   # /etc/freehold/vsphere.env
#   export GOVC_URL=vcenter.example GOVC_USERNAME=freehold@vsphere.local GOVC_PASSWORD=…
#   export GOVC_TLS_CA_CERTS=/etc/freehold/vcenter.pem GOVC_DATACENTER=DC1
#
# With DRS a machine may move at any time: the agent asks every 30 s. Keep two hosts of the cluster
# on two hypervisors with an anti-affinity rule all the same; this only makes Freehold see it.
set -eu

. "${FREEHOLD_VSPHERE_ENV:-/etc/freehold/vsphere.env}"

# The machine knows itself by the UUID in its firmware; vCenter knows it by the same.
uuid=$(tr '[:upper:]' '[:lower:]' < /sys/class/dmi/id/product_uuid)
vm=$(govc vm.info -json -vm.uuid="$uuid")
host=$(printf '%s' "$vm" |
	jq -er '(.virtualMachines // .VirtualMachines)[0] | (.runtime // .Runtime).host // .Runtime.Host | .value // .Value')

# From the host's reference to its name, and to that of the cluster above it.
path=$(govc ls -L "HostSystem:$host")
name=$(basename "$path")
above=$(basename "$(dirname "$path")")

# A host outside any cluster stands under its own name.
if [ "$above" = "$name" ]; then
	printf '%s\n' "$name"
else
	printf '%s/%s\n' "$above" "$name"
fi | tr ' ' '-'
