#!/bin/sh
# The failure domain of a virtual machine under libvirt: the name of the hypervisor that runs it.
#
#   freehold agent --join … --domain-command /usr/local/lib/freehold/libvirt.sh
#
# libvirt has no inventory above the single hypervisor, so all of them are asked which one runs the
# machine with this UUID. Needs virsh, and a file with the hypervisors' addresses:
#
#   # /etc/freehold/libvirt.env
#   LIBVIRT_HYPERVISORS='hv1.example hv2.example hv3.example'
#   LIBVIRT_URI='qemu+tls://%s/system'   # %s is the hypervisor; tls or ssh, with a read-only account
#   LIBVIRT_PREFIX=''                    # what goes before the hypervisor, such as a rack
#
# A hypervisor that is down answers nothing and is passed over after three seconds: it cannot be
# the one this runs on.
set -eu

LIBVIRT_URI='qemu+tls://%s/system' LIBVIRT_PREFIX=''
. "${FREEHOLD_LIBVIRT_ENV:-/etc/freehold/libvirt.env}"

uuid=$(tr '[:upper:]' '[:lower:]' < /sys/class/dmi/id/product_uuid)
for hypervisor in $LIBVIRT_HYPERVISORS; do
	uri=$(printf '%s' "$LIBVIRT_URI" | sed "s|%s|$hypervisor|")
	# While a machine is moved two know it, and only one runs it.
	state=$(timeout 3 virsh --readonly --connect "$uri" domstate "$uuid" 2>/dev/null) || continue
	if [ "$state" = running ]; then
		printf '%s\n' "${LIBVIRT_PREFIX:+$LIBVIRT_PREFIX/}${hypervisor%%.*}"
		exit 0
	fi
done
echo "no hypervisor of $LIBVIRT_HYPERVISORS runs $uuid" >&2
exit 1
