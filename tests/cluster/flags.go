package main

import (
	"fmt"
	"path/filepath"
)

// The flags of each program: what a cluster of one node on one machine needs,
// without what it cannot use, and without limits that a benchmark would meet.

func (c *cluster) etcdArgs() []string {
	peer := fmt.Sprintf("http://127.0.0.1:%d", c.etcdPeerPort)
	return []string{
		"etcd",
		"--data-dir=" + c.etcdDir(),
		"--listen-client-urls=" + c.etcdURL(),
		"--advertise-client-urls=" + c.etcdURL(),
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=default=" + peer,
		"--quota-backend-bytes=8589934592",
		"--unsafe-no-fsync",
		"--log-level=warn",
	}
}

func (c *cluster) apiServerArgs() []string {
	return append([]string{
		"kube-apiserver",
		"--etcd-servers=" + c.etcdURL(),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.apiServerPort),
		"--tls-cert-file=" + c.pki.servingCertFile,
		"--tls-private-key-file=" + c.pki.servingKeyFile,
		"--token-auth-file=" + tokensPath(c.dir),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.pki.serviceAccountKey,
		"--service-account-signing-key-file=" + c.pki.serviceAccountKey,
		"--service-cluster-ip-range=10.96.0.0/16",
		"--allow-privileged=true",
		// Pods need no tokens here, and a new node is usable at once instead of
		// after the controller manager's next look at it.
		"--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
		// A loopback address cannot be an endpoint of the kubernetes service.
		"--endpoint-reconciler-type=none",
		"--enable-priority-and-fairness=false",
		"--max-requests-inflight=4000",
		"--max-mutating-requests-inflight=2000",
		"--audit-policy-file=" + c.auditPolicyPath(),
		"--audit-log-path=" + filepath.Join(c.dir, "audit.log"),
		"--profiling=false",
	}, c.apiServerFlags...)
}

func (c *cluster) controllerManagerArgs() []string {
	return []string{
		"kube-controller-manager",
		"--kubeconfig=" + kubeconfigPath(c.dir, "kube-controller-manager"),
		"--leader-elect=false",
		"--secure-port=0",
		"--root-ca-file=" + c.pki.caFile,
		"--service-account-private-key-file=" + c.pki.serviceAccountKey,
		// As in real clusters, each controller acts under its own name.
		"--use-service-account-credentials=true",
		// kwok renews no leases (see kwokArgs), and no node is ever lost.
		"--node-monitor-grace-period=24h",
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--profiling=false",
	}
}

func (c *cluster) schedulerArgs() []string {
	return []string{
		"kube-scheduler",
		"--kubeconfig=" + kubeconfigPath(c.dir, "kube-scheduler"),
		"--leader-elect=false",
		"--secure-port=0",
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--profiling=false",
	}
}

func (c *cluster) kwokArgs() []string {
	return []string{
		"kwok",
		"--kubeconfig=" + kubeconfigPath(c.dir, "kwok"),
		"--config=" + c.kwokStagesPath(),
		"--manage-all-nodes=true",
		"--cidr=10.244.0.0/16",
		"--node-ip=127.0.0.1",
		// With leases kwok would let go of the nodes in an outage, and a new kwok
		// would wait until the leases of the old one have run out.
		"--node-lease-duration-seconds=0",
	}
}
