package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// client speaks to the API server as admin. Plain HTTP is enough for the
// handful of requests made here and costs no start-up time.
type client struct {
	server string
	token  string
	http   http.Client
}

func newClient(server, token string, caPEM []byte) *client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caPEM)
	return &client{server: server, token: token, http: http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots},
			// A kept connection would hide that the server was restarted.
			DisableKeepAlives: true,
		},
	}}
}

// ready reports whether the API server says that it can be used.
func (c *client) ready(ctx context.Context) bool {
	_, status, err := c.do(ctx, http.MethodGet, "/readyz", nil)
	return err == nil && status == http.StatusOK
}

// exists reports whether an object, such as a namespace that the API server
// makes for itself, is there.
func (c *client) exists(ctx context.Context, path string) bool {
	_, status, err := c.do(ctx, http.MethodGet, path, nil)
	return err == nil && status == http.StatusOK
}

// create posts an object; one that is there already is left as it is.
func (c *client) create(ctx context.Context, path string, object any) error {
	answer, status, err := c.do(ctx, http.MethodPost, path, object)
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	if status != http.StatusCreated && status != http.StatusConflict {
		return fmt.Errorf("create %s: status %d: %s", path, status, bytes.TrimSpace(answer))
	}
	return nil
}

// nodeReady reports whether pods can be scheduled to a node.
func (c *client) nodeReady(ctx context.Context, name string) bool {
	answer, status, err := c.do(ctx, http.MethodGet, "/api/v1/nodes/"+name, nil)
	if err != nil || status != http.StatusOK {
		return false
	}
	var node struct {
		Spec   struct{ Taints []struct{ Key string } }
		Status struct {
			Conditions []struct{ Type, Status string }
		}
	}
	if json.Unmarshal(answer, &node) != nil || len(node.Spec.Taints) > 0 {
		return false
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == "Ready" {
			return condition.Status == "True"
		}
	}
	return false
}

func (c *client) do(ctx context.Context, method, path string, object any) ([]byte, int, error) {
	var body bytes.Buffer
	if object != nil {
		if err := json.NewEncoder(&body).Encode(object); err != nil {
			return nil, 0, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, c.server+path, &body)
	if err != nil {
		return nil, 0, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return answer, response.StatusCode, err
}
