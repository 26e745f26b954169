package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// errStop ends the supervisor without an error.
var errStop = errors.New("told to stop")

// readyLine is the first line on standard output.
type readyLine struct {
	Server  string         `json:"server"`
	Dir     string         `json:"dir"`
	ReadyMS int64          `json:"ready_ms"`
	PIDs    map[string]int `json:"pids"`
}

// answerLine is the answer to one command.
type answerLine struct {
	Command string         `json:"command"`
	OK      bool           `json:"ok"`
	Error   string         `json:"error,omitempty"`
	MS      int64          `json:"ms"`
	PIDs    map[string]int `json:"pids"`
}

// up runs a control plane until standard input ends or a signal comes.
//
// Whoever started it holds the other end of standard input, so the cluster
// cannot outlive a test that panics or is killed.
func up(args []string) error {
	runtime.LockOSThread() // See startProcess.
	started := time.Now()
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(context.Background())
	go stopOnSignal(stop)
	commands := make(chan string)
	go readCommands(os.Stdin, commands, stop)

	c, err := newCluster(o)
	if err != nil {
		return err
	}
	err = c.run(ctx, commands, started)
	c.stop()
	if !errors.Is(err, errStop) {
		return err
	}
	if o.removeDir {
		return os.RemoveAll(o.dir)
	}
	return nil
}

// run starts the cluster, announces it, and serves until something ends it.
func (c *cluster) run(ctx context.Context, commands <-chan string, started time.Time) error {
	if err := c.start(ctx); err != nil {
		return err
	}
	ready := readyLine{Server: c.server(), Dir: c.dir, ReadyMS: time.Since(started).Milliseconds(), PIDs: c.pids()}
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		return fmt.Errorf("write the ready line: %w", err)
	}
	return c.serve(ctx, commands)
}

func parseOptions(args []string) (options, error) {
	flags := flag.NewFlagSet("control-plane up", flag.ExitOnError)
	dir := flags.String("dir", "", "directory for data, logs and kubeconfigs")
	level := flags.String("audit-level", "RequestResponse", "how much of each change the audit log records: "+strings.Join(auditLevels, ", "))
	policyFile := flags.String("audit-policy", "", "audit policy file to use instead of --audit-level")
	removeDir := flags.Bool("remove-dir", false, "delete DIR at the end, unless something went wrong")
	kwok := flags.Bool("kwok", true, "play two nodes on which pods run at once")
	var apiServer []string
	flags.Func("apiserver-flag", "a further flag of kube-apiserver, such as --emulated-version=1.35; may be given several times", func(value string) error {
		apiServer = append(apiServer, value)
		return nil
	})
	_ = flags.Parse(args) // It exits by itself.
	if *dir == "" {
		return options{}, errors.New("--dir is missing: name a directory for data, logs and kubeconfigs")
	}
	policy, err := auditPolicy(*level)
	if *policyFile != "" {
		policy, err = os.ReadFile(*policyFile)
	}
	if err != nil {
		return options{}, err
	}
	absolute, err := filepath.Abs(*dir)
	if err != nil {
		return options{}, fmt.Errorf("--dir %s: %w", *dir, err)
	}
	if err := os.MkdirAll(absolute, 0o755); err != nil {
		return options{}, fmt.Errorf("--dir: %w", err)
	}
	return options{dir: absolute, auditPolicy: policy, kwok: *kwok, removeDir: *removeDir, apiServerFlags: apiServer}, nil
}

func stopOnSignal(stop context.CancelCauseFunc) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
	stop(errStop)
}

// readCommands passes on each line and stops the supervisor at end of file,
// even while a command is being carried out.
func readCommands(input io.Reader, commands chan<- string, stop context.CancelCauseFunc) {
	lines := bufio.NewScanner(input)
	for lines.Scan() {
		if command := strings.TrimSpace(lines.Text()); command != "" {
			commands <- command
		}
	}
	stop(errStop)
}

// serve carries out commands until told to stop or a child dies.
func (c *cluster) serve(ctx context.Context, commands <-chan string) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case p := <-c.exits:
			if c.expects(p) {
				return &diedError{p}
			}
		case command := <-commands:
			answer, err := c.obey(ctx, command)
			if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
				return fmt.Errorf("answer %s: %w", command, err)
			}
			if died := new(diedError); errors.As(err, &died) {
				return err
			}
		}
	}
}

// obey carries out one command and says how it went.
func (c *cluster) obey(ctx context.Context, command string) (answerLine, error) {
	started := time.Now()
	err := errors.New("no such command")
	if act, ok := map[string]func(context.Context) error{
		"stop-apiserver":   c.stopAPIServer,
		"start-apiserver":  c.startAPIServer,
		"pause-apiserver":  c.pauseAPIServer,
		"resume-apiserver": c.resumeAPIServer,
		"wipe":             c.wipe,
		"save":             c.save,
		"restore":          c.restore,
	}[command]; ok {
		err = act(ctx)
	}
	answer := answerLine{Command: command, OK: err == nil, MS: time.Since(started).Milliseconds(), PIDs: c.pids()}
	if err != nil {
		answer.Error = err.Error()
	}
	return answer, err
}

// pids names every process of the control plane, this one included.
func (c *cluster) pids() map[string]int {
	pids := map[string]int{"control-plane": os.Getpid()}
	for _, p := range c.processes() {
		pids[p.name] = p.pid()
	}
	return pids
}
