package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// logTailBytes bounds how much of a dead program's log is repeated to the user.
const logTailBytes = 4096

// process is one running child with its log file.
type process struct {
	name    string
	command *exec.Cmd
	logPath string
	exited  chan struct{} // closed once the child has been reaped
}

// startProcess runs a program with its output appended to DIR/<name>.log.
// args[0] is what the program finds as its own name. When the child ends, for
// whatever reason, it is sent to exits.
//
// The kernel kills the child when the *thread* that started it ends, so this
// may only be called from the main goroutine, which `up` locks to the main
// thread.
func startProcess(dir, path string, args []string, exits chan<- *process) (*process, error) {
	name := args[0]
	logPath := filepath.Join(dir, name+".log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	defer log.Close()
	command := &exec.Cmd{
		Path:        path,
		Args:        args,
		Dir:         dir,
		Stdout:      log,
		Stderr:      log,
		SysProcAttr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, command: command, logPath: logPath, exited: make(chan struct{})}
	go func() {
		_ = command.Wait() // How it ended is read from ProcessState.
		close(p.exited)
		exits <- p
	}()
	return p, nil
}

func (p *process) pid() int { return p.command.Process.Pid }

// pause stops the child in its tracks, and returns once all of it has stopped:
// on a busy machine a thread that had its turn still answers requests after
// the signal was sent.
func (p *process) pause() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for {
		// Stops only: how the child ends is for Wait to learn.
		err := unix.Waitid(unix.P_PID, p.pid(), nil, unix.WSTOPPED, nil)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("wait until %s has stopped: %w", p.name, err)
		}
	}
}

// resume lets a paused child go on.
func (p *process) resume() error { return p.signal(syscall.SIGCONT) }

func (p *process) signal(s syscall.Signal) error {
	if err := p.command.Process.Signal(s); err != nil {
		return fmt.Errorf("send %v to %s: %w", s, p.name, err)
	}
	return nil
}

// killAll ends children at once and waits until they are gone. Nothing here is
// worth a graceful shutdown: kube-apiserver takes seconds for one, and a crash
// is the harder case for the daemon under test. A stopped child dies too.
func killAll(processes ...*process) {
	for _, p := range processes {
		_ = p.command.Process.Kill() // It may have ended by itself.
	}
	for _, p := range processes {
		<-p.exited
	}
}

// diedError says that a child ended which should have run on.
type diedError struct {
	process *process
}

// Error says how the child ended and repeats the end of its log.
func (e *diedError) Error() string {
	p := e.process
	tail, err := os.ReadFile(p.logPath)
	if err != nil {
		return fmt.Sprintf("%s ended unexpectedly (%v), and its log cannot be read: %v", p.name, p.command.ProcessState, err)
	}
	if len(tail) > logTailBytes {
		tail = tail[len(tail)-logTailBytes:]
	}
	return fmt.Sprintf("%s ended unexpectedly (%v); the end of %s:\n%s",
		p.name, p.command.ProcessState, p.logPath, strings.TrimSpace(string(tail)))
}
