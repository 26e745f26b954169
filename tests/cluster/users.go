package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
)

// adminsGroup is bound to cluster-admin once the API server is up. Unlike
// system:masters it goes through RBAC, so a test may take the rights away.
const adminsGroup = "greffier-test:admins"

// user is somebody whom the API server knows by a token.
type user struct {
	name   string // in the audit log
	file   string // DIR/<file>.kubeconfig
	groups []string
	token  string
}

// newUsers lists everybody with fresh tokens. The people are for tests to act
// as; each program has its own name so that the audit log tells them apart.
func newUsers() []user {
	users := []user{
		{name: "admin", file: "admin", groups: []string{"system:masters"}},
		{name: "greffier", file: "greffier", groups: []string{adminsGroup}},
		{name: "alice", file: "alice", groups: []string{adminsGroup}},
		{name: "bob", file: "bob", groups: []string{adminsGroup}},
		{name: "limited", file: "limited"}, // No rights at all.
		{name: "system:kube-controller-manager", file: "kube-controller-manager"},
		{name: "system:kube-scheduler", file: "kube-scheduler"},
		{name: "kwok", file: "kwok", groups: []string{"system:masters"}},
	}
	for i := range users {
		users[i].token = rand.Text()
	}
	return users
}

// writeUsers writes the API server's token file and a kubeconfig for each user.
func writeUsers(dir, server string, caPEM []byte, users []user) error {
	var tokens strings.Builder
	files := make([]file, 0, len(users)+1)
	for i, u := range users {
		fmt.Fprintf(&tokens, "%s,%s,uid-%d", u.token, u.name, i)
		if len(u.groups) > 0 {
			fmt.Fprintf(&tokens, ",%q", strings.Join(u.groups, ","))
		}
		tokens.WriteByte('\n')
		files = append(files, file{kubeconfigPath(dir, u.file), kubeconfig(server, caPEM, u)})
	}
	return writeAll(append(files, file{tokensPath(dir), []byte(tokens.String())})...)
}

func kubeconfigPath(dir, name string) string { return filepath.Join(dir, name+".kubeconfig") }

func tokensPath(dir string) string { return filepath.Join(dir, "tokens.csv") }

func kubeconfig(server string, caPEM []byte, u user) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: test
contexts:
- name: test
  context: {cluster: test, user: %[3]q, namespace: default}
clusters:
- name: test
  cluster:
    server: %[1]s
    certificate-authority-data: %[2]s
users:
- name: %[3]q
  user: {token: %[4]s}
`, server, base64.StdEncoding.EncodeToString(caPEM), u.name, u.token)
}
