#!/bin/sh
# The failure domain of a virtual machine on Proxmox VE: the name of its node, where it runs now.
#
#   freehold agent --join … --domain-command /usr/local/lib/freehold/proxmox.sh
#
# Needs curl and jq, and a file that only root reads, with an API token whose user has the role
# PVEAuditor on /vms:
#
#   # /etc/freehold/proxmox.env
#   PVE_URL=https://pve.example:8006
#   PVE_TOKEN='freehold@pve!domain=00000000-0000-0000-0000-000000000000'
#   PVE_CA=/etc/freehold/pve-root-ca.pem
#   PVE_VMID=104          # without it the machine is found by its host name
#   PVE_PREFIX=room-1     # what goes before the node, such as a room or a rack; may be empty
#
# Live migration and HA move machines between nodes: the agent asks every 30 s.
set -eu

PVE_VMID='' PVE_PREFIX=''
. "${FREEHOLD_PROXMOX_ENV:-/etc/freehold/proxmox.env}"

name=$(hostname -s)
node=$(
	# The token goes by standard input: arguments can be read by every user of the machine.
	printf 'header = "Authorization: PVEAPIToken=%s"\n' "$PVE_TOKEN" |
		curl --silent --show-error --fail --max-time 8 --cacert "$PVE_CA" --config - \
			"$PVE_URL/api2/json/cluster/resources?type=vm" |
		jq -er --arg id "$PVE_VMID" --arg name "$name" '
			[.data[] | select(if $id == "" then .name == $name else (.vmid | tostring) == $id end)]
			| if length == 1 then .[0].node else error("\(length) machines match") end'
)

printf '%s\n' "${PVE_PREFIX:+$PVE_PREFIX/}$node"
