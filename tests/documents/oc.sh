#!/bin/sh
# Stands in for oc, which is kubectl and more. Of the rest, `debug` of a node shows the unit of the kubelet there.
if [ "$1" = debug ]; then
    exec cat /etc/systemd/system/openshift-kubelet.service
fi
exec kubectl "$@"
