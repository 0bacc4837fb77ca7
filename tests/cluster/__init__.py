"""A real Kubernetes cluster of one node on this machine, and the pods that scenarios put on it.

What is real: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet,
containerd, runc, CNI, and the frozen plugin. What is not: Alibaba Cloud (the sandbox).
"""
