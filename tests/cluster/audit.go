package main

import (
	"fmt"
	"slices"
)

// auditLevels are the levels at which changes may be recorded.
var auditLevels = []string{"None", "Metadata", "Request", "RequestResponse"}

// auditPolicy records every change at one level, and nothing else: reads and
// heartbeats would bury what people did. As usual, bodies of Secrets stay out;
// a test that wants them in passes a policy of its own.
func auditPolicy(level string) ([]byte, error) {
	if !slices.Contains(auditLevels, level) {
		return nil, fmt.Errorf("--audit-level %q: expected one of %v", level, auditLevels)
	}
	secretLevel := "Metadata"
	if level == "None" {
		secretLevel = "None"
	}
	return fmt.Appendf(nil, `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  verbs: [get, list, watch]
- level: None
  nonResourceURLs: ["*"]
- level: None
  resources:
  - group: ""
    resources: [events, endpoints, nodes/status, serviceaccounts/token]
  - group: events.k8s.io
  - group: coordination.k8s.io
  - group: discovery.k8s.io
  - group: authentication.k8s.io
  - group: authorization.k8s.io
- level: %s
  resources:
  - group: ""
    resources: [secrets]
- level: %s
`, secretLevel, level), nil
}
