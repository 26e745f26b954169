package main

import (
	"strings"

	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
)

// nodeNames are the nodes that kwok plays: two, so that spreading and
// anti-affinity have somewhere to go.
var nodeNames = []string{"node-1", "node-2"}

// kwokStages is kwok's own fast life of nodes and pods: a pod is ready as soon
// as it is scheduled, a Job's pod succeeds at once, a deleted pod is gone.
func kwokStages() []byte {
	return []byte(strings.Join([]string{
		nodefast.DefaultNodeInit,
		podfast.DefaultPodReady,
		podfast.DefaultPodComplete,
		podfast.DefaultPodDelete,
	}, "\n---\n"))
}

func node(name string) map[string]any {
	capacity := map[string]string{"cpu": "64", "memory": "256Gi", "pods": "5000"}
	return map[string]any{
		"apiVersion": "v1",
		"kind":       "Node",
		"metadata": map[string]any{
			"name": name,
			"labels": map[string]string{
				"kubernetes.io/hostname": name,
				"kubernetes.io/os":       "linux",
				"kubernetes.io/arch":     "amd64",
			},
		},
		"status": map[string]any{"capacity": capacity, "allocatable": capacity},
	}
}

// adminsBinding gives the people in adminsGroup every right.
func adminsBinding() map[string]any {
	return map[string]any{
		"apiVersion": "rbac.authorization.k8s.io/v1",
		"kind":       "ClusterRoleBinding",
		"metadata":   map[string]any{"name": adminsGroup},
		"roleRef":    map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
		"subjects":   []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": adminsGroup}},
	}
}
