package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// startTimeout bounds every wait for the cluster. It is generous because
// several clusters and a compiler may share two cores.
const startTimeout = 90 * time.Second

// options says what `up` was asked for.
type options struct {
	dir         string
	auditPolicy []byte
	kwok        bool
	removeDir   bool
	// apiServerFlags are given to kube-apiserver after its usual ones.
	apiServerFlags []string
}

// cluster is one control plane: fixed ports and keys, and the children that
// run at the moment.
//
// Only the main goroutine touches it. Ordering: etcd, kube-apiserver, then the
// clients, which would otherwise fail and sleep before they try again.
type cluster struct {
	options
	program  string // this binary
	kwokPath string

	etcdPort, etcdPeerPort, apiServerPort int

	pki    *pki
	client *client

	etcd, apiServer *process
	clients         []*process
	exits           chan *process
}

// newCluster writes keys, users and configuration into the directory.
func newCluster(o options) (*cluster, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's own file: %w", err)
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	keys, err := newPKI(o.dir)
	if err != nil {
		return nil, err
	}
	c := &cluster{
		options:       o,
		program:       program,
		kwokPath:      filepath.Join(filepath.Dir(program), "kwok"),
		etcdPort:      ports[0],
		etcdPeerPort:  ports[1],
		apiServerPort: ports[2],
		pki:           keys,
		exits:         make(chan *process, 16),
	}
	users := newUsers()
	c.client = newClient(c.server(), users[0].token, keys.caPEM)
	if err := writeUsers(o.dir, c.server(), keys.caPEM, users); err != nil {
		return nil, err
	}
	return c, writeAll(
		file{c.auditPolicyPath(), o.auditPolicy},
		file{c.kwokStagesPath(), kwokStages()},
	)
}

func (c *cluster) server() string          { return fmt.Sprintf("https://127.0.0.1:%d", c.apiServerPort) }
func (c *cluster) etcdURL() string         { return fmt.Sprintf("http://127.0.0.1:%d", c.etcdPort) }
func (c *cluster) etcdDir() string         { return filepath.Join(c.dir, "etcd") }
func (c *cluster) savedDir() string        { return filepath.Join(c.dir, "etcd-saved") }
func (c *cluster) auditPolicyPath() string { return filepath.Join(c.dir, "audit-policy.yaml") }
func (c *cluster) kwokStagesPath() string  { return filepath.Join(c.dir, "kwok-stages.yaml") }

// start runs everything and returns when the cluster is ready for use.
func (c *cluster) start(ctx context.Context) error {
	var err error
	if c.etcd, err = startProcess(c.dir, c.program, c.etcdArgs(), c.exits); err != nil {
		return err
	}
	if err := c.launchAPIServer(ctx); err != nil {
		return err
	}
	// A new API server is ready a moment before it has made its namespaces.
	if err := c.await(ctx, "the default namespace", func(ctx context.Context) bool {
		return c.client.exists(ctx, "/api/v1/namespaces/default")
	}); err != nil {
		return err
	}
	return c.startClients(ctx)
}

// launchAPIServer runs kube-apiserver and returns when it says it is ready.
func (c *cluster) launchAPIServer(ctx context.Context) error {
	var err error
	if c.apiServer, err = startProcess(c.dir, c.program, c.apiServerArgs(), c.exits); err != nil {
		return err
	}
	return c.await(ctx, "kube-apiserver", c.client.ready)
}

// startClients runs the controllers and, with kwok, waits for the nodes.
func (c *cluster) startClients(ctx context.Context) error {
	if err := c.startClient(c.program, c.controllerManagerArgs()); err != nil {
		return err
	}
	if err := c.startClient(c.program, c.schedulerArgs()); err != nil {
		return err
	}
	if err := c.client.create(ctx, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", adminsBinding()); err != nil {
		return err
	}
	if !c.kwok {
		return nil
	}
	for _, name := range nodeNames {
		if err := c.client.create(ctx, "/api/v1/nodes", node(name)); err != nil {
			return err
		}
	}
	if err := c.startClient(c.kwokPath, c.kwokArgs()); err != nil {
		return err
	}
	return c.await(ctx, "the nodes", func(ctx context.Context) bool {
		for _, name := range nodeNames {
			if !c.client.nodeReady(ctx, name) {
				return false
			}
		}
		return true
	})
}

func (c *cluster) startClient(path string, args []string) error {
	p, err := startProcess(c.dir, path, args, c.exits)
	if err != nil {
		return err
	}
	c.clients = append(c.clients, p)
	return nil
}

// await asks again and again until the condition holds, and gives up when a
// child dies, the supervisor is told to stop, or the time is over.
func (c *cluster) await(ctx context.Context, subject string, holds func(context.Context) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout,
		fmt.Errorf("%s was not ready within %v (see the logs in %s)", subject, startTimeout, c.dir))
	defer cancel()
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for !holds(ctx) {
		select {
		case <-ticks.C:
		case p := <-c.exits:
			if c.expects(p) {
				return &diedError{p}
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// expects reports whether a child ought to be running. Those that were killed
// on purpose have been taken off the list before they are reaped here.
func (c *cluster) expects(p *process) bool {
	for _, running := range c.processes() {
		if running == p {
			return true
		}
	}
	return false
}

// processes lists the children that ought to be running.
func (c *cluster) processes() []*process {
	var all []*process
	if c.etcd != nil {
		all = append(all, c.etcd)
	}
	if c.apiServer != nil {
		all = append(all, c.apiServer)
	}
	return append(all, c.clients...)
}

// stopAPIServer begins an outage. The clients go first: a controller manager
// that is still starting ends by itself when it finds no server, which would
// look like a failure of the cluster.
func (c *cluster) stopAPIServer(context.Context) error {
	if c.apiServer == nil {
		return errors.New("kube-apiserver is not running")
	}
	killAll(append(c.clients, c.apiServer)...)
	c.clients, c.apiServer = nil, nil
	return nil
}

// startAPIServer ends the outage that stopAPIServer began. The clients start
// anew: after a minute without a server they would sleep for another before
// they look again, and the test with them.
func (c *cluster) startAPIServer(ctx context.Context) error {
	if c.apiServer != nil {
		return errors.New("kube-apiserver is running already")
	}
	if err := c.launchAPIServer(ctx); err != nil {
		return err
	}
	return c.startClients(ctx)
}

func (c *cluster) pauseAPIServer(context.Context) error {
	return c.withAPIServer((*process).pause)
}

func (c *cluster) resumeAPIServer(context.Context) error {
	return c.withAPIServer((*process).resume)
}

func (c *cluster) withAPIServer(do func(*process) error) error {
	if c.apiServer == nil {
		return errors.New("kube-apiserver is not running")
	}
	return do(c.apiServer)
}

// wipe puts a fresh cluster in the place of this one: same address, same keys
// and users, none of the objects. The audit log goes on.
func (c *cluster) wipe(ctx context.Context) error {
	c.stop()
	if err := os.RemoveAll(c.etcdDir()); err != nil {
		return fmt.Errorf("delete the objects of the old cluster: %w", err)
	}
	return c.start(ctx)
}

// save copies the objects as they are now, for restore to come back to. The
// control plane is stopped meanwhile, so that the copy is whole.
func (c *cluster) save(ctx context.Context) error {
	c.stop()
	if err := os.RemoveAll(c.savedDir()); err != nil {
		return fmt.Errorf("delete the former copy: %w", err)
	}
	if err := os.CopyFS(c.savedDir(), os.DirFS(c.etcdDir())); err != nil {
		return fmt.Errorf("copy the objects: %w", err)
	}
	return c.start(ctx)
}

// restore puts the copy that save made in the place of the objects, as from a
// backup: same cluster, same names, an earlier time.
func (c *cluster) restore(ctx context.Context) error {
	c.stop()
	if err := os.RemoveAll(c.etcdDir()); err != nil {
		return fmt.Errorf("delete the objects: %w", err)
	}
	if err := os.CopyFS(c.etcdDir(), os.DirFS(c.savedDir())); err != nil {
		return fmt.Errorf("restore the objects: %w", err)
	}
	return c.start(ctx)
}

// stop kills all children and waits until they are gone.
func (c *cluster) stop() {
	killAll(c.processes()...)
	c.clients, c.apiServer, c.etcd = nil, nil, nil
}
